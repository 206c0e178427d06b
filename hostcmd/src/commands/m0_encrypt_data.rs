//! M0: encrypt data under a data key, or under a data key derived by DUKPT.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::cipher_data;

/// Data encryption.
#[derive(Debug)]
pub struct EncryptData;

impl Command for EncryptData {
    const ABOUT: About =
        About { code: *b"M0", title: "Encrypt data", audience: Audience::Traffic, class: Class::Data };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request:
                b"M0011100BU3E9CE2724797FC6021B7A50C0AB6592D47A548B20AE8190600205E069E342ABD65D6EAD4C7F5C7\
                B1DF71",
            expect: Expect::Reply(b"M100BAFAFB61CFE1918C00205F355467ABD86BF3BAFAFB61CFE1918C"),
            source: "wire-examples M0-0-00128",
        },
        Example {
            lmk: 1,
            request: b"M00001FFFS0007222TN00E0001D1A994915D199545008AEAE51C9A36F25C824F786133A5BEE99FD32F\
                0028S=\xD0&*w\xB1\x15\"\xC3\xCF\xC5\xB9)\x03\xB1[\xD4\x8Ds\xE4\xA27\xAE\xE9j$\x9EX\x93\
                \x89\xA3vwt\xED\x8D\xFE\xFD\xD9%01",
            expect: Expect::Reply(
                b"M1000050FB2D8E1BB341462E2ACB50D70A2E64C48ABB343566BFC666E3F8924D2A1CE054405D59FB9AE631B9",
            ),
            source: "wire-examples M0-1-00129",
        },
        Example {
            lmk: 2,
            request:
                b"M00000FFFS1009622TB00E00029E17D8738A003500E1ABAF43F6E3C7BEA379D551A6C50203A884141AA62B18\
                BC64A20E0A132419A70030\x86\xC8\xA5C6\x83\x0F\xDE\xE5\x7F\xB28m\xDD;\x1B\xFC\xEBd_\x994,\
                \x9C\xC4\x86\xF6\x90P\x97\xE5\x12\xCF\xAA\x86\x94\x0Ff\xE6]\xE9\x10\xB4h\x03_\xCD\n%02",
            expect: Expect::Reply(
                b"M1000030\xAA}.X`\xC0\x9F\x1B\x18\xE2\x11\xD5\xE3\xF2a0l\x9E\x85=-1L\x8A\x1F4\xC3\xD1\xF5\
                \xD2\x81/\xC5<\x98\xFB\x0EnC\xB0\xCE\xC6\x10V\x05\xB9\xCB-",
            ),
            source: "wire-examples M0-2-00130",
        },
        Example {
            lmk: 0,
            request:
                b"M0771100BUD5797D4591198D5A79F9ADAFD4D9629D0030D0B6F15A8F6AF18A3E329E93DABA18FF6180B7B387\
                E9554F",
            expect: Expect::Code(b"02"),
            source: "wire-examples M0-0-00324",
        },
        Example {
            lmk: 0,
            request: b"M0001100BU3E9CE2724797FC6021B7A50C0AB6592D000E5E069E342ABD65",
            expect: Expect::Code(b"80"),
            source: "own: not whole blocks",
        },
        Example {
            lmk: 1,
            request: b"M00011FFFS00072P0TB00E0001EA421618B34F5FA1A77F7CF6480111B97CF0FAE7BD77D589EC921EF9\
                00105E069E342ABD65D6",
            expect: Expect::Code(b"A6"),
            source: "own, key of s-blocks kb-CC: a ZPK encrypts no data (security.md 2 row 12)",
        },
    ];
    type Request = cipher_data::Request<true>;
    type Reply = cipher_data::Reply;

    async fn run(cx: Cx, request: Self::Request) -> Answer<Self::Reply> {
        Ok(request.run(&cx).await?.into())
    }
}
