"""Tests of xda.storage."""
