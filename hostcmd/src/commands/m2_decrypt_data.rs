//! M2: decrypt data under a data key, or under a data key derived by DUKPT.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::cipher_data;

/// Data decryption.
#[derive(Debug)]
pub struct DecryptData;

impl Command for DecryptData {
    const ABOUT: About =
        About { code: *b"M2", title: "Decrypt data", audience: Audience::Traffic, class: Class::Data };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request:
                b"M2001100AU69B15ADF755C4D4735339D55744F03960050769F9C7FB1DFF5A5D3EFD5ADFAA1B8D9A1F40C5A60\
                89C319E45CD483BCE6E12CA77ACBC18992416D",
            expect: Expect::Reply(
                b"M3000050F097C4283BE295095A4A41CEA3BA1F963D518FA582F24BE4C76EDF29C95061CAD2C05BBC935E75FA",
            ),
            source: "wire-examples M2-0-00131",
        },
        Example {
            lmk: 1,
            request: b"M20011FFFS00072D0TB00E00016A692D4A5799B965B8AFBF2D33991D83307C8CA1053146ED667643B6\
                005047D2D55C3579B354F385CA7AF98EA49F3275379C6FD7DF0428782870D0ABEF52C881A661C5D3D541",
            expect: Expect::Reply(
                b"M3000050DDD484254ACD1FE3CFA7E0EAE9DEAC50FF11D1A4ABF55F7B2884359F52DF1FE08B6DCDC8EC5BAB1A",
            ),
            source: "wire-examples M2-1-00132",
        },
        Example {
            lmk: 2,
            request:
                b"M20111FFFS10096D0AN00E000249A17253F6CA357AA278116480A084ABEA768FA52A77255B4424D74EB5C246\
                512407DC206FFFD159A41DC9323BCC7B6D7EF97608D778DBD90020E7F5893E3F5A7D51ED94887099CC793E",
            expect: Expect::Reply(
                b"M300E7F5893E3F5A7D51ED94887099CC793E0020D16B6647C12D5A69EC3B480E3533AFBE",
            ),
            source: "wire-examples M2-2-00337",
        },
        Example {
            lmk: 0,
            request: b"M2000100AUF82678336B91F8919BCAD7A6D48C4F010007#\x1CyJ3{\xDA",
            expect: Expect::Code(b"80"),
            source: "wire-examples M2-0-00299",
        },
        Example {
            lmk: 0,
            request: b"M20011000U69B15ADF755C4D4735339D55744F03960010769F9C7FB1DFF5A5",
            expect: Expect::Code(b"05"),
            source: "own: a ZMK decrypts no data (security.md 2 row 12)",
        },
    ];
    type Request = cipher_data::Request<false>;
    type Reply = cipher_data::Reply;

    async fn run(cx: Cx, request: Self::Request) -> Answer<Self::Reply> {
        Ok(request.run(&cx).await?.into())
    }
}
