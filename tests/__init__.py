"""Tests, mirroring app/xda."""
