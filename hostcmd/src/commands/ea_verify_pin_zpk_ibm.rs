//! EA: verify a PIN under a ZPK by the IBM 3624 method with offset.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::ibm::{VerifyRequest, verify};
use crate::service::pin_keys::Zone;

/// IBM verification, ZPK.
#[derive(Debug)]
pub struct VerifyPinZpkIbm;

impl Command for VerifyPinZpkIbm {
    const ABOUT: About = About {
        code: *b"EA",
        title: "Verify a PIN under a ZPK by the IBM method",
        audience: Audience::Traffic,
        class: Class::Cards,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request:
                b"EAU2C95531A43C7CA020C0C679AC89CD2FBU29791B55361A4675E639A27339775C8A1269F77C20B0223FA601\
                04401234567890012345678901234540123N7890AB6432FFFFFFFF",
            expect: Expect::Reply(b"EB00"),
            source: "own vector",
        },
        Example {
            lmk: 1,
            request:
                b"EAS0007272TN00E000165D16FAA765E6CC4C80AE5D20CBF16F1A618DCBC5C7B7E3AE0B2DBABS00072V1TN00E\
                0001F57282AB9DDA910CC9098D04D0FE98E77D07F871DCCC7A10ED47EFFF128D4B65332E4C3BAA0104636485\
                1178540123456789012345600481369N378246FFFFFFFF",
            expect: Expect::Legacy(b"EB00"),
            source: "wire-examples EA-1-00073, a table that is not registered",
        },
        Example {
            lmk: 2,
            request:
                b"EAS10096P0TB00E0002D485323A8C261E830E530E30116443B52078D7C9B4492F3CA8DE2912CF5105A4C1E8F\
                DAC12049683S10096V1TN00E00023D67B205A11A8ED29BBEE14B1AB879D68878F83A7F344A286D6992C5A7AF\
                9DABF82C6A7B3D66DE5C1214CD89677E76D1BC01042380317110790123456789012345N536024641140488FF\
                FFFFFF",
            expect: Expect::Legacy(b"EB00"),
            source: "wire-examples EA-2-00074, a table that is not registered",
        },
        Example {
            lmk: 0,
            request:
                b"EAU2C95531A43C7CA020C0C679AC89CD2FBU29791B55361A4675E639A27339775C8A12105D1B1E3B09B72E01\
                04401234567890012345678901234540123N7890AB6432FFFFFFFF",
            expect: Expect::Code(b"01"),
            source: "own vector: another PIN",
        },
    ];
    type Request = VerifyRequest<Zone>;
    type Reply = ();

    async fn run(cx: Cx, request: Self::Request) -> Answer<Self::Reply> {
        verify(cx, request).await
    }
}
