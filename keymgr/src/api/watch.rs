//! A campaign as it goes: by a long poll that answers when something has changed, or as server-sent events.

use super::answer::Json;
use super::caller::{Caller, Who, of_peer};
use super::extract::{Asked, Named};
use super::problem::Problem;
use super::reads::one;
use crate::channel::Peer;
use crate::core::campaign::Campaign;
use crate::core::ids::CampaignId;
use crate::service::Manager;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use keylink::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Longest wait of a poll.
const POLL: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(100);
/// Between two signs of life of a stream.
const ALIVE: Duration = Duration::from_secs(10);

/// Which state of a campaign the caller has seen.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Seen {
    /// `seen` of the answer before.
    seen: Option<String>,
}

/// A campaign, and a word for its state.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Watched {
    /// The campaign.
    pub campaign: Campaign,
    /// For the next call.
    pub seen: String,
}

// Who has begun to wait may have been sent away meanwhile.
fn look(manager: &Manager, reader: &Peer, id: CampaignId) -> Result<Watched, Problem> {
    let may = |caller: Caller| Who::Readers.roles().iter().any(|role| caller.roles.contains(role));
    if !of_peer(manager, reader).is_some_and(may) {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "caller", "not a registered person any more"));
    }
    let campaign = one::<Campaign>(manager, &id, "campaign")?;
    let seen = Digest::of(&serde_json::to_vec(&campaign).unwrap_or_default()).to_string();
    Ok(Watched { campaign, seen })
}

/// The campaign, as soon as it is not as the caller has seen it.
pub(super) async fn poll(
    State(manager): State<Manager>,
    Extension(reader): Extension<Peer>,
    Named(id): Named<CampaignId>,
    Asked(query): Asked<Seen>,
) -> Result<Json<Watched>, Problem> {
    let until = Instant::now() + POLL;
    loop {
        let now = look(&manager, &reader, id)?;
        if query.seen.as_ref() != Some(&now.seen) || Instant::now() >= until {
            return Ok(Json(now));
        }
        sleep(GLANCE).await;
    }
}

/// An event `campaign` with a [`Watched`] for each change, until the campaign has ended or the reader was revoked.
pub(super) async fn events(
    State(manager): State<Manager>,
    Extension(reader): Extension<Peer>,
    Named(id): Named<CampaignId>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    look(&manager, &reader, id)?;
    let changes = unfold(Some(String::new()), move |seen| {
        let manager = manager.clone();
        async move {
            let seen = seen?;
            loop {
                let now = look(&manager, &reader, id).ok()?;
                if now.seen != seen {
                    let next = now.campaign.phase.is_live().then(|| now.seen.clone());
                    let event = Event::default().event("campaign").id(&now.seen);
                    return Some((Ok(event.data(serde_json::to_string(&now).ok()?)), next));
                }
                sleep(GLANCE).await;
            }
        }
    });
    Ok(Sse::new(changes).keep_alive(KeepAlive::new().interval(ALIVE)))
}
