//! CT (table 11): certificates of a public key. They are carried, not read: DER is not this crate's business.

use paytypes::hex;

/// Form of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFormat {
    /// `00`: X.509.
    X509,
    /// `01`: EMV.
    Emv,
}

impl CertificateFormat {
    const fn from_code(code: [u8; 2]) -> Option<Self> {
        match &code {
            b"00" => Some(Self::X509),
            b"01" => Some(Self::Emv),
            _ => None,
        }
    }
}

/// One certificate, or a chain of them (format 02), each in base 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificates<'a>(&'a [u8]);

impl<'a> Certificates<'a> {
    /// Reads the data of a block. Formats 00 and 01 hold one certificate; format 02 holds a chain, each with
    /// its format and the length of its text in four hex digits.
    pub fn decode(data: &'a [u8]) -> Option<Self> {
        let all = Self(data);
        let mut last = None;
        for certificate in all.entries() {
            last = Some(certificate?);
        }
        last.map(|_| all)
    }

    /// The data of the block.
    pub const fn text(&self) -> &'a [u8] {
        self.0
    }

    /// Format and base 64 text of each certificate, in the order of the chain.
    pub fn iter(&self) -> impl Iterator<Item = (CertificateFormat, &'a [u8])> + use<'a> {
        self.entries().flatten()
    }

    fn entries(&self) -> Entries<'a> {
        match self.0.split_first_chunk::<2>() {
            Some((b"02", chain)) => Entries { rest: chain, is_chain: true },
            _ => Entries { rest: self.0, is_chain: false },
        }
    }
}

type Entry<'a> = (CertificateFormat, &'a [u8]);

// A malformed entry is `None` and ends the list.
struct Entries<'a> {
    rest: &'a [u8],
    is_chain: bool,
}

impl<'a> Entries<'a> {
    fn read(&self) -> Option<(Entry<'a>, &'a [u8])> {
        let (code, rest) = self.rest.split_first_chunk::<2>()?;
        let format = CertificateFormat::from_code(*code)?;
        let (text, after) = if self.is_chain {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let length = u16::from_be_bytes(hex::decode(length).ok()?);
            rest.split_at_checked(usize::from(length))?
        } else {
            (rest, &[][..])
        };
        is_base64(text).then_some(((format, text), after))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Option<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.read();
        self.rest = entry.map_or(&[], |(_, after)| after);
        Some(entry.map(|(certificate, _)| certificate))
    }
}

fn is_base64(data: &[u8]) -> bool {
    let body = data.iter().rev().skip_while(|c| **c == b'=');
    !data.is_empty()
        && data.len().is_multiple_of(4)
        && data.iter().rev().take(3).filter(|c| **c == b'=').count() <= 2
        && body.into_iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/'))
}
