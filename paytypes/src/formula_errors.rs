//! One enumeration of errors for a crate of formulas, made from a table: class, code, field, text and hint of
//! each kind stand in one row.

/// Makes the enumeration `$error`, with a kind `Cipher` for what the cipher refused, and a list `ALL` for tests.
///
/// A row is `Name = class, code, field, text, hint;`. Rows carry no secret: an error is a kind and nothing else.
#[macro_export]
macro_rules! formula_errors {
    (
        $(#[$about:meta])*
        $error:ident, $cipher:literal;
        $($(#[$doc:meta])* $name:ident = $class:literal, $code:literal, $field:literal, $text:literal, $hint:literal;)*
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $error {
            $($(#[$doc])* $name,)*
            /// The cipher refused.
            Cipher($crate::CipherError),
        }

        impl $error {
            /// Error class of the known-answer vectors (`tests/vectors/schema.json`).
            pub const fn class(self) -> &'static str {
                match self {
                    $(Self::$name => $class,)*
                    Self::Cipher(_) => "key_size",
                }
            }

            /// Stable code for documents and searches. There is no offset: the place of a wrong digit is a secret's.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                    Self::Cipher(_) => $cipher,
                }
            }

            /// The input that was refused.
            pub const fn field(self) -> &'static str {
                match self {
                    $(Self::$name => $field,)*
                    Self::Cipher(_) => "cipher",
                }
            }

            /// What to look at, in words.
            pub const fn hint(self) -> &'static str {
                match self {
                    $(Self::$name => $hint,)*
                    Self::Cipher(_) => "key, data length and connection of the backend",
                }
            }
        }

        impl ::core::fmt::Display for $error {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self {
                    $(Self::$name => f.write_str($text),)*
                    Self::Cipher(cause) => ::core::fmt::Display::fmt(cause, f),
                }
            }
        }

        impl ::core::error::Error for $error {}

        impl From<$crate::CipherError> for $error {
            fn from(cause: $crate::CipherError) -> Self {
                Self::Cipher(cause)
            }
        }

        #[cfg(test)]
        const ALL: &[$error] = &[$($error::$name,)* $error::Cipher($crate::CipherError::Backend)];
    };
}
