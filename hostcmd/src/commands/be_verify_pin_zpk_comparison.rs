//! BE: verify a PIN under a ZPK by comparison with one stored under the LMK.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::comparison::{CompareRequest, compare};
use crate::service::pin_keys::Zone;

/// Comparison, ZPK.
#[derive(Debug)]
pub struct VerifyPinZpkComparison;

impl Command for VerifyPinZpkComparison {
    const ABOUT: About = About {
        code: *b"BE",
        title: "Verify a PIN under a ZPK by comparison",
        audience: Audience::Traffic,
        class: Class::Cards,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"BEUD157ABD282C23FD8953488E4BFD8C1C9DF6B23A0A9A12F020141397389778009059",
            expect: Expect::Reply(b"BF00"),
            source: "wire-examples BE-0-00026",
        },
        Example {
            lmk: 1,
            request:
                b"BES0007272TN00E00015B31D64A3022B2C7C9862C7AB0F760C5117D51CAB35B22A06B345C502B5E5EBC70627\
                0F60169203964946603429",
            expect: Expect::Reply(b"BF00"),
            source: "wire-examples BE-1-00027",
        },
        Example {
            lmk: 2,
            request:
                b"BES10096P0TN00E00024E248796DA712FEDC615219664F86AB2DDCB6EE825C509382555C9758A7386C3F3E98\
                23E478FB30C3C5509A31548689D01398075064107JDC6E875C9347AAB837F56DB4DF1D1B84%02",
            expect: Expect::Reply(b"BF00"),
            source: "wire-examples BE-2-00028",
        },
        Example {
            lmk: 0,
            request: b"BEU2B9EA216190954E90A13B301B2B5F0173B1DD504C0F048330140653790240105049",
            expect: Expect::Code(b"01"),
            source: "wire-examples BE-0-00195",
        },
    ];
    type Request = CompareRequest<Zone>;
    type Reply = ();

    async fn run(cx: Cx, request: Self::Request) -> Answer<Self::Reply> {
        compare(cx, request).await
    }
}
