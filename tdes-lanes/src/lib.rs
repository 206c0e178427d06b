//! Constant-time bit-sliced triple DES, a different key in every lane.
