//! DA: verify a PIN under a TPK by the IBM 3624 method with offset.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::ibm::{VerifyRequest, verify};
use crate::service::pin_keys::Terminal;

/// IBM verification, TPK.
#[derive(Debug)]
pub struct VerifyPinTpkIbm;

impl Command for VerifyPinTpkIbm {
    const ABOUT: About = About {
        code: *b"DA",
        title: "Verify a PIN under a TPK by the IBM method",
        audience: Audience::Traffic,
        class: Class::Cards,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 1,
            request:
                b"DAS00072P0TB00E0001B1844E2001FA8AE8DCCD4B9E534F4276B16E87BA81B8DA4C71A9880ES00072V1TC00E\
                0001E1F13DD42FAFC34B2AE9773C3E1F31081EE1FFFD0AAEDEE4EA65DEC812DE3665237F1B9C1E4704677184\
                249717987654321098765432597626N1046632FFFFFFFF",
            expect: Expect::Legacy(b"DB00"),
            source: "wire-examples DA-1-00056, a table that is not registered",
        },
        Example {
            lmk: 2,
            request:
                b"DAS10096P0TN00E0002229AE414387AC146A2E544855A8E4C66D0FE2BE170EC5931AFACD529268E6E7CC46F6\
                4B3C566BBE9S10096V1TC00E00027FFD7E879976CFA2445B0385DD6532600FCAABB0F63171C889783E670241\
                D7C9C3A04E6E857F9A56129959730435AFCED6010540597448060331415926508972640763365N488876199F\
                FFFFFF%02",
            expect: Expect::Legacy(b"DB00"),
            source: "wire-examples DA-2-00057, a table that is not registered",
        },
        Example {
            lmk: 0,
            request:
                b"DAU284333724A040F7CD8FA1C55229E4558U29791B55361A4675E639A27339775C8A124AD2290F784F5DC201\
                04401234567890012345678901234540123N7890AB6432FFFFFFFF",
            expect: Expect::Reply(b"DB00"),
            source: "own vector",
        },
        Example {
            lmk: 1,
            request:
                b"DAS0007271TB00E0001DEFD91E95E75A14B1A5E7CAC72B8EE55A10A5EB6B18ACC8B3B76AAFCS00072V1TC00E\
                00018DF0E3761E9BD8ADD0C20001C69AB4F75C5B02993480C8B09309FB24124AD2290F784F5DC20104401234\
                567890012345678901234540123N7890AB6432FFFFFFFF",
            expect: Expect::Reply(b"DB00"),
            source: "own vector",
        },
        Example {
            lmk: 2,
            request:
                b"DAS1009671TB00E0002A6087AACCA77915FAED65886A3CC32D62814FDDC6A584656F70486375CD3FEE145C83\
                AF1658AB66ES10096V1TC00E00027EC95F9E494944FFE8860CD979EFD3222CE98AE97C077F18773E6B80F520\
                BD0D1B75E55F7BB23DB9124AD2290F784F5DC20104401234567890012345678901234540123N7890AB6432FF\
                FFFFFF",
            expect: Expect::Reply(b"DB00"),
            source: "own vector",
        },
        Example {
            lmk: 0,
            request:
                b"DAU284333724A040F7CD8FA1C55229E4558U29791B55361A4675E639A27339775C8A124AD2290F784F5DC201\
                04401234567890012345678901234540123N7890AB9999FFFFFFFF",
            expect: Expect::Code(b"01"),
            source: "own vector: another offset",
        },
    ];
    type Request = VerifyRequest<Terminal>;
    type Reply = ();

    async fn run(cx: Cx, request: Self::Request) -> Answer<Self::Reply> {
        verify(cx, request).await
    }
}
