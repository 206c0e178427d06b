//! Where random bytes come from is the caller's business: every formula that pads or fills takes a
//! [`Random`], so that a test can repeat it and a token can serve it.

/// A source of random bytes. In production: the operating system's or the token's.
pub trait Random {
    /// Fills `out` completely.
    fn fill(&mut self, out: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Random for F {
    fn fill(&mut self, out: &mut [u8]) {
        self(out);
    }
}

/// Bytes drawn beforehand, given out from the left and then repeated from the start. Draw enough of them:
/// this serves a formula that runs where the true source can only be asked in advance.
#[derive(Debug)]
pub struct Drawn<'a> {
    bytes: &'a [u8],
    next: usize,
}

impl<'a> Drawn<'a> {
    /// Over bytes that were drawn from the true source.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, next: 0 }
    }
}

impl Random for Drawn<'_> {
    fn fill(&mut self, out: &mut [u8]) {
        for o in out {
            *o = self.bytes.get(self.next).copied().unwrap_or_default();
            self.next = self.next.checked_add(1).filter(|n| *n < self.bytes.len()).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_is_a_source() {
        let mut next = 0u8;
        let mut source = |out: &mut [u8]| {
            for o in out {
                next += 1;
                *o = next;
            }
        };
        let mut out = [0; 3];
        source.fill(&mut out);
        assert_eq!(out, [1, 2, 3]);
    }

    #[test]
    fn drawn_bytes_come_from_the_left() {
        let mut source = Drawn::new(&[1, 2, 3]);
        let mut out = [0; 2];
        source.fill(&mut out);
        assert_eq!(out, [1, 2]);
        source.fill(&mut out);
        assert_eq!(out, [3, 1]);
    }
}
