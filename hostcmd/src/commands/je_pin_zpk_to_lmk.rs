//! JE: translate a PIN block under a ZPK to a PIN stored under the LMK.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::pin_keys::Zone;
use crate::service::storing::{StoreRequest, StoredReply, store};

/// PIN, ZPK to LMK.
#[derive(Debug)]
pub struct PinZpkToLmk;

impl Command for PinZpkToLmk {
    const ABOUT: About = About {
        code: *b"JE",
        title: "Translate a PIN from a ZPK to the LMK",
        audience: Audience::Issuer,
        class: Class::Pins,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"JEU69660A0A17C44ED7A789F3007455F950A96F72763CE715A701132621675213",
            expect: Expect::Reply(b"JF0008093"),
            source: "wire-examples JE-0-00117",
        },
        Example {
            lmk: 1,
            request:
                b"JES00072P0TN00E0001B444BF6453F47B5B2FEA94BF4EA7E87D6562BBADAA58A72D446110FE9EB50B2AC09FF\
                DDD01006561821335%01",
            expect: Expect::Reply(b"JF0000191"),
            source: "wire-examples JE-1-00118",
        },
        Example {
            lmk: 2,
            request:
                b"JES1009672TB00E0002282ED27BAD40515867712E4194178CAD73E6A8425C168C8D0DD66766E1D92CA572413\
                26D0957841B9689CA329F7FB86301327020048269",
            expect: Expect::Like(b"JF00J................................"),
            source: "wire-examples JE-2-00119",
        },
        Example {
            lmk: 0,
            request: b"JEU454DA22C02640E8212AD5FF2595ED8DF779E4797EFF2F18001116442488944",
            expect: Expect::Code(b"20"),
            source: "wire-examples JE-0-00290",
        },
    ];
    type Request = StoreRequest<Zone>;
    type Reply = StoredReply;

    async fn run(cx: Cx, request: Self::Request) -> Answer<Self::Reply> {
        store(cx, request).await
    }
}
