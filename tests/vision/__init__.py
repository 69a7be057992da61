"""Tests of xda.vision."""
