//! BC: verify a PIN under a TPK by comparison with one stored under the LMK.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::comparison::{CompareRequest, compare};
use crate::service::pin_keys::Terminal;

/// Comparison, TPK.
#[derive(Debug)]
pub struct VerifyPinTpkComparison;

impl Command for VerifyPinTpkComparison {
    const ABOUT: About = About {
        code: *b"BC",
        title: "Verify a PIN under a TPK by comparison",
        audience: Audience::Traffic,
        class: Class::Cards,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"BCU2BD240AFFF3194735C1F1394EAC0E6EEBF4AF3805F60021E0185533164443609843",
            expect: Expect::Reply(b"BD00"),
            source: "wire-examples BC-0-00023",
        },
        Example {
            lmk: 1,
            request:
                b"BCS0007271TN00E00018B2F4D04C750CB66BC46C5BE8AB1F3C50F36A5E2C56758526DF3D5A9A4F6A59C2EEB7\
                BDD0125068140728903812",
            expect: Expect::Reply(b"BD00"),
            source: "wire-examples BC-1-00024",
        },
        Example {
            lmk: 2,
            request:
                b"BCS10096P0TN00E0002A2347C05146D355B4D4F978CA02CE2EC334019C580928506325EE87933EE4EB42ACDC\
                47E200847885CF0D82FCCE52C3C01663302586030J8CD3B75C9BBE8DE74AABF3031FBA35CF%02",
            expect: Expect::Reply(b"BD00"),
            source: "wire-examples BC-2-00025",
        },
        Example {
            lmk: 0,
            request: b"BCUDE7D1D31299DBC3538B60D515C5B4549EB3CECD06F3EC7FC0169947222732900551",
            expect: Expect::Code(b"01"),
            source: "wire-examples BC-0-00192",
        },
    ];
    type Request = CompareRequest<Terminal>;
    type Reply = ();

    async fn run(cx: Cx, request: Self::Request) -> Answer<Self::Reply> {
        compare(cx, request).await
    }
}
