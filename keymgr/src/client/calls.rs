//! Calls. Every write carries an Idempotency-Key of its own and is repeated once when its outcome is unknown.

use super::address::ManagerAddress;
use super::error::ClientProblem;
use crate::api::{ActionView, Me, Page, Problem, Watched};
use crate::channel::client as https;
use crate::core::action::Act;
use crate::core::approval::{Quorum, persons_needed};
use crate::core::input::Outcome;
use crate::person::Identity;
use keylink::root::SignedRoot;
use keylink::{ActionId, CampaignId, Digest, KmcId};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// An action that waits for approvals.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Proposed {
    /// Identity.
    pub action: ActionId,
    /// What officers sign.
    pub hash: Digest,
    /// Persons needed besides the requester.
    pub quorum: Quorum,
    /// Waits until, UTC milliseconds.
    pub expires: u64,
}

impl Proposed {
    /// Persons whose approval carries it, as this act.
    pub fn needed(&self, act: &Act) -> usize {
        persons_needed(act.class(), self.quorum)
    }
}

/// A person's connection to a manager. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    identity: Arc<Identity>,
}

/// Longest life of a stream of events.
const FOLLOW: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

impl Client {
    /// Nothing is sent yet.
    pub fn new(manager: &ManagerAddress, identity: Identity) -> Result<Self, ClientProblem> {
        let http = https(&identity.channel_certificate, identity.channel_key(), manager.key)
            .map_err(|error| ClientProblem::Unreachable(error.to_string()))?;
        Ok(Self { http, base: format!("{}/api/v1", manager.url), identity: Arc::new(identity) })
    }

    /// Whose it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Reads a path below `/api/v1`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientProblem> {
        value_of(&self.bytes(path).await?)
    }

    /// The same, as bytes.
    pub async fn bytes(&self, path: &str) -> Result<Vec<u8>, ClientProblem> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await?;
        taken(answer).await
    }

    /// Every record of a list, page by page.
    pub async fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, ClientProblem> {
        let (mut items, mut after) = (Vec::new(), None::<String>);
        let mark = if path.contains('?') { '&' } else { '?' };
        loop {
            let cursor = after.map(|after| format!("&after={after}")).unwrap_or_default();
            let page: Page<T> = self.get(&format!("{path}{mark}limit=1000{cursor}")).await?;
            items.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(items);
            }
        }
    }

    /// Follows a campaign by its events until it has ended or the stream breaks; each state goes to `see`. Gives the
    /// state that was seen last.
    pub async fn follow(
        &self,
        id: CampaignId,
        mut see: impl FnMut(&Watched),
    ) -> Result<Option<Watched>, ClientProblem> {
        let url = format!("{}/campaigns/{id}/events", self.base);
        let mut answer = self.http.get(url).timeout(FOLLOW).send().await?;
        if !answer.status().is_success() {
            return Err(taken(answer)
                .await
                .err()
                .unwrap_or_else(|| ClientProblem::Answer("no events".to_owned())));
        }
        let (mut text, mut last) = (Vec::new(), None);
        while let Ok(Some(chunk)) = answer.chunk().await {
            text.extend_from_slice(&chunk);
            while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = text.drain(..end + 2).collect();
                let event = String::from_utf8_lossy(&event);
                if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                    let now: Watched = serde_json::from_str(data)
                        .map_err(|error| ClientProblem::Answer(error.to_string()))?;
                    see(&now);
                    last = Some(now);
                }
            }
        }
        Ok(last)
    }

    /// Writes.
    pub async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientProblem> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| ClientProblem::Wish(error.to_string()))?;
        value_of(&self.write_under(&hex::encode(random), method, path, json_of(body)?).await?)
    }

    async fn write_under(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ClientProblem> {
        let url = format!("{}{path}", self.base);
        let ask = || {
            let request = self.http.request(method.clone(), &url).header("idempotency-key", key);
            request.header(CONTENT_TYPE, "application/json").body(body.clone()).send()
        };
        let answer = match ask().await {
            // Nobody knows whether it was done: under the same key it is done once.
            Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE => ask().await?,
            Err(error) if !error.is_connect() => ask().await?,
            other => other?,
        };
        taken(answer).await
    }

    /// [`Client::write`] by POST.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientProblem> {
        self.write(Method::POST, path, body).await
    }

    /// [`Client::post`] of what is done once for good. The key follows from the request, so that a person who sends it
    /// again, from another run of the program too, gets the answer that was lost.
    pub async fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientProblem> {
        let sent = json_of(body)?;
        let key = Digest::of(&[path.as_bytes(), b"\n", &sent].concat()).to_string();
        value_of(&self.write_under(&key, Method::POST, path, sent).await?)
    }

    /// Who the caller is.
    pub async fn me(&self) -> Result<Me, ClientProblem> {
        self.get("/me").await
    }

    /// Which centre this is.
    pub async fn kmc(&self) -> Result<KmcId, ClientProblem> {
        let roots: Vec<SignedRoot> = self.get("/root").await?;
        let first = roots.first().ok_or_else(|| ClientProblem::Answer("no root document".to_owned()))?;
        first.kmc().map_err(|error| ClientProblem::Answer(error.to_string()))
    }

    /// The root document in force.
    pub async fn newest_root(&self) -> Result<SignedRoot, ClientProblem> {
        let mut roots: Vec<SignedRoot> = self.get("/root").await?;
        roots.pop().ok_or_else(|| ClientProblem::Answer("no root document".to_owned()))
    }

    /// Asks for an action.
    pub async fn propose(&self, act: &Act) -> Result<Proposed, ClientProblem> {
        match self.post("/actions", act).await? {
            Outcome::Proposed { action, hash, quorum, expires, .. } => {
                Ok(Proposed { action, hash, quorum, expires })
            }
            other => Err(ClientProblem::Answer(format!("{other:?}"))),
        }
    }

    /// Takes back an action that this person has asked for.
    pub async fn withdraw(&self, action: ActionId) -> Result<Outcome, ClientProblem> {
        self.write(Method::DELETE, &format!("/actions/{action}"), &serde_json::json!({})).await
    }

    /// An action as it is approved.
    pub async fn action(&self, id: ActionId) -> Result<ActionView, ClientProblem> {
        self.get(&format!("/actions/{id}")).await
    }

    /// Actions that wait for approvals, in the order in which they were asked for.
    pub async fn pending(&self) -> Result<Vec<ActionView>, ClientProblem> {
        let mut actions: Vec<ActionView> = self.all("/actions?state=pending").await?;
        actions.sort_by_key(|view| view.action.id);
        Ok(actions)
    }

    /// Judges, signs and hands in an approval: see [`super::sign`].
    pub async fn approve(&self, view: &ActionView) -> Result<Outcome, ClientProblem> {
        let (me, kmc) = (self.me().await?, self.kmc().await?);
        if let (_, Act::ChangeSigningKey(change)) = super::judge(view, kmc)? {
            // The root documents of the change are signed with it: nothing else brings the key into effect.
            super::judge_succession(&change, kmc, &self.newest_root().await?)?;
            let signatures = super::sign_documents(&change, self.identity());
            let _: Outcome =
                self.post(&format!("/actions/{}/documents", view.action.id), &signatures).await?;
        }
        let signed = super::sign(view, kmc, (me.person, me.credential), self.identity(), super::utc_ms())?;
        self.post(&format!("/actions/{}/approvals", view.action.id), &signed).await
    }
}

fn json_of(body: &impl Serialize) -> Result<Vec<u8>, ClientProblem> {
    serde_json::to_vec(body).map_err(|error| ClientProblem::Wish(error.to_string()))
}

fn value_of<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ClientProblem> {
    keylink::wire::read(bytes).map_err(|error| ClientProblem::Answer(error.to_string()))
}

async fn taken(answer: reqwest::Response) -> Result<Vec<u8>, ClientProblem> {
    let status = answer.status();
    let bytes = answer.bytes().await?;
    if status.is_success() {
        return Ok(bytes.to_vec());
    }
    Err(match keylink::wire::read::<Problem>(&bytes) {
        Ok(problem) => ClientProblem::Refused(problem),
        Err(_) => ClientProblem::Answer(format!("HTTP {status}")),
    })
}
