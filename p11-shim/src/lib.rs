//! A PKCS#11 module that forwards to a real one and injects faults; for tests only.
