//! JC: translate a PIN block under a TPK to a PIN stored under the LMK.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::pin_keys::Terminal;
use crate::service::storing::{StoreRequest, StoredReply, store};

/// PIN, TPK to LMK.
#[derive(Debug)]
pub struct PinTpkToLmk;

impl Command for PinTpkToLmk {
    const ABOUT: About = About {
        code: *b"JC",
        title: "Translate a PIN from a TPK to the LMK",
        audience: Audience::Issuer,
        class: Class::Pins,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"JCUC30CE149593435AB69E73D98710B91E51FCC5990EA41AE7701345743573454%00",
            expect: Expect::Reply(b"JD0009982"),
            source: "wire-examples JC-0-00114",
        },
        Example {
            lmk: 1,
            request:
                b"JCS0007271TB00E00010911A308FD1D1F2091D5BA7B5F8487A241A56D98175F5A8ECB8864A76E7B43F028DA6\
                5D147241838639750",
            expect: Expect::Reply(b"JD0003344"),
            source: "wire-examples JC-1-00115",
        },
        Example {
            lmk: 2,
            request:
                b"JCS1009671TB00E000214B23FBC9C578148D59D00CA81AF23E50C69F75417A8D815D79A4589157E0F35D1CB0\
                0A5154C7F1B4CCC8A2928061B2405439672183760",
            expect: Expect::Like(b"JD00J................................"),
            source: "wire-examples JC-2-00116",
        },
        Example {
            lmk: 0,
            request: b"JCU495B9E98858B134CF137808615674E185AFD0E4CC677230E98553794772200",
            expect: Expect::Code(b"23"),
            source: "wire-examples JC-0-00287",
        },
    ];
    type Request = StoreRequest<Terminal>;
    type Reply = StoredReply;

    async fn run(cx: Cx, request: Self::Request) -> Answer<Self::Reply> {
        store(cx, request).await
    }
}
