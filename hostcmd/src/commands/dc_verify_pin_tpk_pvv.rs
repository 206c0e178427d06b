//! DC: verify a PIN under a TPK by the Visa method with PVV.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::pin_keys::Terminal;
use crate::service::visa::{VerifyRequest, verify};

/// PVV verification, TPK.
#[derive(Debug)]
pub struct VerifyPinTpkPvv;

impl Command for VerifyPinTpkPvv {
    const ABOUT: About = About {
        code: *b"DC",
        title: "Verify a PIN under a TPK by the Visa method",
        audience: Audience::Traffic,
        class: Class::Cards,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request:
                b"DCU8F542EDFA754F34E3F834FFBBC0EBEB3X927416B3BA753362E9C902253B6F5F97EF1CE50FB42169430181\
                528922663443153",
            expect: Expect::Reply(b"DD00"),
            source: "wire-examples DC-0-00058",
        },
        Example {
            lmk: 1,
            request:
                b"DCS0007271TN00E000164384AD952DB1655FC86B806924A520AD3AA4E944B25F2C133FF9851S00072V2TC00E\
                0001AF802E9CF766AD6E9F91A0535FD523EE1BBB03622DFA0905B7E66F31F49EDD48AD0FB0A2471858230950\
                9947842",
            expect: Expect::Reply(b"DD00"),
            source: "wire-examples DC-1-00059",
        },
        Example {
            lmk: 2,
            request:
                b"DCS10096P0TB00E000247EBAA2F8C731F7FDFDBF53E91EB009FF527D1FC8EE7AE68CC0E4DFA67EB5D0D4BD3E\
                6F169DAF793S10096V2TC00E00024CDD8689CE5BAD20FA8D17FE8C5E11FFDB597DF73BFF7DB77C2A8B019A48\
                F65534E40BBB67EFC653CC5A019E682F75024773786811593356019%02",
            expect: Expect::Reply(b"DD00"),
            source: "wire-examples DC-2-00060",
        },
        Example {
            lmk: 0,
            request:
                b"DCU9BC73510FF13DDB1226A9CE7DACFF9E9X9CBD4080190C812FFFD2D2679E4EC32D915E529D94B97F130515\
                898924775244995",
            expect: Expect::Code(b"01"),
            source: "wire-examples DC-0-00244",
        },
    ];
    type Request = VerifyRequest<Terminal, false>;
    type Reply = ();

    async fn run(cx: Cx, request: Self::Request) -> Answer<Self::Reply> {
        verify(cx, request).await
    }
}
