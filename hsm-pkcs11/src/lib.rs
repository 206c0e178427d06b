//! The PKCS#11 backend: operations of the seam, run on a token.
