//! EC: verify a PIN under a ZPK by the Visa method with PVV, which may be of another account than the block.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::pin_keys::Zone;
use crate::service::visa::{VerifyRequest, verify};

/// PVV verification, ZPK.
#[derive(Debug)]
pub struct VerifyPinZpkPvv;

impl Command for VerifyPinZpkPvv {
    const ABOUT: About = About {
        code: *b"EC",
        title: "Verify a PIN under a ZPK by the Visa method",
        audience: Audience::Traffic,
        class: Class::Cards,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request:
                b"ECU7DC3D8969C42A2378CA5A73406761AADU7D5DF48B99D128A749C03EC9D790672C2B9F4B4C792689350181\
                235856947164800",
            expect: Expect::Reply(b"ED00"),
            source: "wire-examples EC-0-00075",
        },
        Example {
            lmk: 1,
            request:
                b"ECS00072P0TB00E00011AF339E6088344D98EA9E2141AABC6C98B59F4FA7FF8D685D7D8ECF6S00072V2TN00E\
                00018E1D3F7301BE2247CE4274BE0156EA353D05562D3299867F7E24772EE437A0452E3ADEC3014195468906\
                6857481",
            expect: Expect::Reply(b"ED00"),
            source: "wire-examples EC-1-00076",
        },
        Example {
            lmk: 2,
            request:
                b"ECS10096P0TN00E0002DFF2951CD09CD2C606E587137F7E8DA0185C451FEF425A927E6653E16BEBBFEB407B3\
                71161F2C878S10096V2TN00E0002DBBF7614ACAE2FD2B5DDE965379846D3AFB5E8F5C2BA96A60E4E33FDA1F0\
                EA29ECEEFA7FBB9CBA4801ED045D926C95200131167247193857286",
            expect: Expect::Reply(b"ED00"),
            source: "wire-examples EC-2-00077",
        },
        Example {
            lmk: 0,
            request:
                b"ECU2C95531A43C7CA020C0C679AC89CD2FBU29791B55361A4675E639A27339775C8A69F77C20B0223FA60140\
                1234567890;40123456789014984",
            expect: Expect::Reply(b"ED00"),
            source: "own vector: the PVV has an account field of its own",
        },
        Example {
            lmk: 0,
            request:
                b"ECUA8F8B936D278947C7BA32E48DFA227CDTFE34AB1B27D78313245ADF0020E57FA06F215776AD5677F4AC69\
                2ABFD3F6D32F0120213986713760178",
            expect: Expect::Code(b"27"),
            source: "wire-examples EC-0-00254",
        },
        Example {
            lmk: 2,
            request:
                b"ECS1009672TN00E000241450B4EFB204DA1F98E75BAA786B21E92E0150DED9C74D6DF5ED1AF851B82EA4798F\
                11D4943B9B0S10096V2TC00E00027EC19576BD5E9CAC101B3E2DC8AE5EE032A00F26B0F86CAC032CC733D950\
                4A1FE67FA935D2B1FA1926C14E88A204C7F80125911120790610724",
            expect: Expect::Code(b"20"),
            source: "wire-examples EC-2-00261",
        },
    ];
    type Request = VerifyRequest<Zone, true>;
    type Reply = ();

    async fn run(cx: Cx, request: Self::Request) -> Answer<Self::Reply> {
        verify(cx, request).await
    }
}
