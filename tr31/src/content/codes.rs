//! Blocks that hold one code.

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The characters of the block.
            pub const fn code(self) -> &'static [u8] {
                match self { $(Self::$variant => $code),* }
            }

            /// Name for people.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            pub(super) fn decode(data: &[u8]) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.code() == data)
            }
        }
    };
}

codes! {
    /// AL (table 8): life of an asymmetric key, version 01 of the block.
    KeyLife {
        /// For one use.
        Ephemeral = b"0100", "ephemeral";
        /// For many.
        Static = b"0101", "static";
    }
}

codes! {
    /// WP (table 23): what protected the key on its way, version 00 of the block.
    Pedigree {
        /// Keys at least as strong as itself.
        EqualOrGreater = b"000", "wrapped by keys of at least its strength";
        /// A weaker key.
        Lesser = b"001", "was wrapped by a weaker key";
        /// An asymmetric key.
        Asymmetric = b"002", "was wrapped by an asymmetric key";
        /// A weaker asymmetric key.
        AsymmetricLesser = b"003", "was wrapped by a weaker asymmetric key";
    }
}

/// HM (table 13): the hash of an HMAC key, kept as its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(u8);

const HASHES: [(&[u8; 2], &str); 13] = [
    (b"10", "SHA-1"),
    (b"20", "SHA-224"),
    (b"21", "SHA-256"),
    (b"22", "SHA-384"),
    (b"23", "SHA-512"),
    (b"24", "SHA-512/224"),
    (b"25", "SHA-512/256"),
    (b"30", "SHA3-224"),
    (b"31", "SHA3-256"),
    (b"32", "SHA3-384"),
    (b"33", "SHA3-512"),
    (b"40", "SHAKE128"),
    (b"41", "SHAKE256"),
];

impl Hash {
    /// SHA-1.
    pub const SHA_1: Self = Self(0);
    /// SHA-224.
    pub const SHA_224: Self = Self(1);
    /// SHA-256.
    pub const SHA_256: Self = Self(2);
    /// SHA-384.
    pub const SHA_384: Self = Self(3);
    /// SHA-512.
    pub const SHA_512: Self = Self(4);

    fn row(self) -> (&'static [u8; 2], &'static str) {
        HASHES.get(usize::from(self.0)).copied().unwrap_or((b"00", "unknown"))
    }

    /// Every hash that the standard numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        (0u8..).take(HASHES.len()).map(Self)
    }

    /// From the two digits.
    pub fn from_code(code: &[u8]) -> Option<Self> {
        Self::all().find(|hash| hash.row().0 == code)
    }

    pub(super) fn decode(data: &[u8]) -> Option<Self> {
        Self::from_code(data)
    }

    /// The two digits.
    pub fn code(self) -> &'static [u8] {
        self.row().0
    }

    /// Name of the hash.
    pub fn name(self) -> &'static str {
        self.row().1
    }
}
