//! The life of a node side: pull, answer, beat, tick, and take pushes, until it is told to stop. A manager that is away
//! costs it nothing but retries.

use super::beats::Beats;
use super::contact::Contact;
use super::declined::Declined;
use super::retry::Retry;
use super::side::{NodeSide, SideError};
use super::transport::{Answer, Transport, TransportError};
use super::waiting;
use keylink::endpoint::{BEAT_S, Endpoint, PULL_WAIT_S};
use keylink::envelope::{bytes_of, strict};
use keylink::message::{Mail, Parcel};
use keylink::{Digest, NotSigned, Signed};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until};

/// How often things are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Seconds that a pull may wait at the manager.
    pub pull_wait_s: u16,
    /// Between two status beats.
    pub beat: Duration,
    /// Between two looks at clocks and periods, when nothing is due earlier.
    pub tick: Duration,
    /// Most time to wait after failures; shortens the normal one.
    pub retry_longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            pull_wait_s: u16::try_from(PULL_WAIT_S).unwrap_or(25),
            beat: Duration::from_secs(BEAT_S),
            tick: Duration::from_secs(1),
            retry_longest: Duration::from_secs(300),
        }
    }
}

/// Between two looks at a switch that is due and held back.
const HELD_BACK: Duration = Duration::from_millis(20);

/// Most time between two tries to sign; what holds the key may have a pause of its own.
const UNSIGNED_LONGEST: Duration = Duration::from_secs(30);

/// Most time between two tellings of the same receipts.
const TELL_LONGEST: Duration = Duration::from_secs(600);

/// What others may ask of a running node side.
pub(super) enum Request {
    Push(Box<Mail>, oneshot::Sender<Parcel>),
}

/// A running node side, from outside.
#[derive(Clone, Debug)]
pub struct SideHandle(pub(super) mpsc::Sender<Request>);

impl SideHandle {
    /// A handle, and what [`run`] takes.
    pub fn new() -> (Self, Requests) {
        let (sender, receiver) = mpsc::channel(64);
        (Self(sender), Requests(receiver))
    }

    /// Gives mail that was pushed; what the node says to it.
    pub async fn push(&self, mail: Mail) -> Option<Parcel> {
        let (done, answer) = oneshot::channel();
        self.0.send(Request::Push(Box::new(mail), done)).await.ok()?;
        answer.await.ok()
    }
}

/// The other end of a [`SideHandle`].
#[derive(Debug)]
pub struct Requests(pub(super) mpsc::Receiver<Request>);

type Asked = JoinHandle<Result<Got, TransportError>>;

// What a task of the talk ends with.
enum Got {
    Session(Option<[u8; 32]>),
    Answer(Answer),
}

struct Talk {
    transport: Arc<dyn Transport>,
    pulling: Option<Asked>,
    sending: Option<Asked>,
    renewing: Option<Asked>,
    greeted: bool,
    // The connection for the hello is there, with its exporter value.
    session: Option<Option<[u8; 32]>>,
    retry: Retry,
    signing: Retry,
    contact: Contact,
    not_before: Instant,
    declined: Declined,
    // Not asked for mail before that.
    pull_at: Instant,
    // Hash of the last receipt of the last parcel that was taken.
    told: Option<Digest>,
    // When what was told and is not confirmed is told again, and the pause that led there.
    tell_again: (Instant, Duration),
    said: Vec<Signed>,
}

impl Talk {
    fn new(transport: Arc<dyn Transport>) -> Self {
        let now = Instant::now();
        Self {
            transport,
            pulling: None,
            sending: None,
            renewing: None,
            greeted: false,
            session: None,
            retry: Retry::default(),
            signing: Retry::default(),
            contact: Contact::begin(now),
            not_before: now,
            declined: Declined::default(),
            pull_at: now,
            told: None,
            tell_again: (now, Duration::ZERO),
            said: Vec::new(),
        }
    }

    fn post(&self, endpoint: Endpoint, body: Vec<u8>) -> Asked {
        let transport = Arc::clone(&self.transport);
        tokio::spawn(async move { transport.post(endpoint, body).await.map(Got::Answer) })
    }

    fn open(&self) -> Asked {
        let transport = Arc::clone(&self.transport);
        tokio::spawn(async move { Ok(Got::Session(transport.session().await)) })
    }

    // Begins what may begin now: the session, a pull, a parcel.
    fn begin(&mut self, side: &mut NodeSide, pace: Pace) {
        if Instant::now() >= self.not_before && self.ask(side, pace).is_err() {
            self.put_off(pace);
        }
    }

    // Nothing was signed: the manager is asked later, and its mail comes again.
    fn put_off(&mut self, pace: Pace) {
        if Instant::now() < self.not_before {
            return;
        }
        let random = getrandom::u64().unwrap_or_default();
        let wait = self.signing.next(random).min(UNSIGNED_LONGEST).min(pace.retry_longest);
        self.not_before = Instant::now().checked_add(wait).unwrap_or_else(Instant::now);
    }

    fn ask(&mut self, side: &mut NodeSide, pace: Pace) -> Result<(), NotSigned> {
        if !self.greeted {
            if self.pulling.is_none() {
                self.pulling = Some(match self.session.take() {
                    None => self.open(),
                    Some(exporter) => {
                        side.bind(exporter);
                        self.post(Endpoint::Hello, side.hello()?.to_bytes())
                    }
                });
            }
            return Ok(());
        }
        if self.pulling.is_none() && Instant::now() >= self.pull_at {
            self.pulling = Some(self.post(Endpoint::Pull, side.pull(pace.pull_wait_s)?.to_bytes()));
        }
        if self.renewing.is_none()
            && let Some(request) = side.renewal_request()
        {
            self.renewing = Some(self.post(Endpoint::Renew, request.to_bytes()));
        }
        let newest = side.machine().outbox().last().map(Signed::hash);
        let news = newest.is_some() && newest != self.told;
        // A manager may answer and have counted nothing; one that does not believe this node never will, and is told ever
        // more seldom.
        let again = newest.is_some() && Instant::now() >= self.tell_again.0;
        if self.sending.is_none() && (!self.said.is_empty() || news || again) {
            let parcel = side.parcel_after(self.told.filter(|_| news), core::mem::take(&mut self.said));
            self.told = waiting::last_receipt(&parcel);
            let pause = if news { pace.beat } else { self.tell_again.1.saturating_mul(2).min(TELL_LONGEST) };
            self.tell_again = (Instant::now().checked_add(pause).unwrap_or_else(Instant::now), pause);
            self.sending = Some(self.post(Endpoint::Receipts, bytes_of(&parcel)));
        }
        Ok(())
    }

    // What else is under way ends too: a pull and a parcel that go down with a manager are one failure, not two, and
    // the next hello waits for no pull that belongs to an earlier session.
    fn failed(&mut self, error: &TransportError, pace: Pace) {
        for asked in [self.pulling.take(), self.sending.take()].into_iter().flatten() {
            asked.abort();
        }
        let random = getrandom::u64().unwrap_or_default();
        let asked = match error {
            TransportError::Busy(seconds) => Duration::from_secs(*seconds),
            _ => Duration::ZERO,
        };
        let wait = self.retry.next(random).max(asked).min(pace.retry_longest);
        if let Some(silent) = self.contact.failed(Instant::now()) {
            tracing::warn!(%error, silent_s = silent.as_secs(), "manager not reached; asks on, and says when it is");
        } else {
            tracing::debug!(%error, wait_ms = wait.as_millis(), "manager not reached");
        }
        self.not_before = Instant::now().checked_add(wait).unwrap_or_else(Instant::now);
        (self.greeted, self.session, self.told) = (false, None, None);
        self.declined.forget();
    }

    // The manager has taken something. A hello is not what this node is here for: a manager whose token is away takes
    // every hello and nothing else, and each is an entry of its log. So a hello ends neither the pause nor the loss.
    fn taken(&mut self) {
        if !core::mem::replace(&mut self.greeted, true) {
            return;
        }
        self.retry.reset();
        if let Some(away) = self.contact.answered(Instant::now()) {
            tracing::info!(away_s = away.as_secs(), "manager reached again");
        }
    }

    // Mail that is refused is asked for again, but not at once.
    fn heard(&mut self, mut said: Vec<Signed>, pace: Pace) {
        let random = getrandom::u64().unwrap_or_default();
        if let Some(wait) = self.declined.judge(&mut said, random) {
            let wait = wait.min(pace.retry_longest);
            self.pull_at = Instant::now().checked_add(wait).unwrap_or_else(Instant::now);
        }
        self.said.extend(said);
    }
}

/// Runs a node side until `stop` is ready. Without a transport it is pushed to only.
pub async fn run(
    mut side: NodeSide,
    transport: Option<Arc<dyn Transport>>,
    mut requests: Requests,
    pace: Pace,
    stop: impl Future<Output = ()>,
) -> Result<(), SideError> {
    let mut talk = transport.map(Talk::new);
    let mut stop = core::pin::pin!(stop);
    let mut beats = Beats::begin(pace.beat, Instant::now());
    loop {
        if let Some(talk) = talk.as_mut().filter(|_| side.is_sound()) {
            talk.begin(&mut side, pace);
            if talk.greeted && Instant::now() >= beats.due() {
                let beat = side.beat().map(|beat| talk.post(Endpoint::Beat, beat.to_bytes()));
                beats.sent(beat.ok(), Instant::now());
            }
        }
        let wake = wake_at(&side, talk.as_ref(), beats.due(), pace);
        let happened = tokio::select! {
            () = &mut stop => {
                farewell(&mut side, talk.as_ref()).await;
                return Ok(());
            }
            Some(event) = side.next_event() => Happened::Table(event),
            Some(request) = requests.0.recv() => Happened::Request(request),
            (which, answer) = answered(talk.as_mut()) => Happened::Answer(which, answer),
            (took, answer) = beats.answered() => {
                let taken = matches!(answer, Ok(Ok(_)));
                beats.judge(taken, took, Instant::now(), getrandom::u64().unwrap_or_default());
                continue;
            }
            () = sleep_until(wake) => Happened::Time,
        };
        // A store that fails is an alarm and no end: the machine stands where the store does, and goes on.
        match handle(&mut side, talk.as_mut(), happened, pace).await {
            Ok(()) => {}
            // Who holds the key has said so; with the next tick it is tried again.
            Err(SideError::NotSigned(_)) => {
                if let Some(talk) = &mut talk {
                    talk.put_off(pace);
                }
            }
            Err(error) => {
                tracing::error!(%error, "key distribution");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

// Whoever ends serves no hosts from now on: a rotation need not wait for it. A manager that does not take this finds out
// by the silence.
async fn farewell(side: &mut NodeSide, talk: Option<&Talk>) {
    const PATIENCE: Duration = Duration::from_secs(1);
    if let Some(talk) = talk.filter(|talk| talk.greeted && side.is_sound())
        && let Ok(beat) = side.last_beat()
    {
        let _ = tokio::time::timeout(PATIENCE, talk.post(Endpoint::Beat, beat.to_bytes())).await;
    }
}

enum Happened {
    Table(super::TableEvent),
    Request(Request),
    Answer(Which, Result<Got, TransportError>),
    Time,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Pulled,
    Sent,
    Renewed,
}

fn wake_at(side: &NodeSide, talk: Option<&Talk>, beat_at: Instant, pace: Pace) -> Instant {
    let due = side.machine().next_deadline_ms(side.clock().now()).map(Duration::from_millis);
    // What is due and does not happen is held back by the clock guard: look again, but not all the time.
    let due = due.map(|due| if due.is_zero() { HELD_BACK } else { due });
    let wait = due.unwrap_or(pace.tick).min(pace.tick);
    let now = Instant::now();
    let wake = now.checked_add(wait).unwrap_or(now);
    // What is late already waits for something else.
    let asks = talk.into_iter().flat_map(|talk| [talk.not_before, talk.pull_at, beat_at]);
    asks.filter(|at| *at > now).fold(wake, Instant::min)
}

async fn answered(talk: Option<&mut Talk>) -> (Which, Result<Got, TransportError>) {
    let Some(talk) = talk else { return core::future::pending().await };
    let lost = |_| Err(TransportError::Unreachable("request given up".to_owned()));
    let (which, answer) = tokio::select! {
        answer = under_way(&mut talk.pulling) => (Which::Pulled, answer),
        answer = under_way(&mut talk.sending) => (Which::Sent, answer),
        answer = under_way(&mut talk.renewing) => (Which::Renewed, answer),
    };
    match which {
        Which::Pulled => talk.pulling = None,
        Which::Sent => talk.sending = None,
        Which::Renewed => talk.renewing = None,
    }
    (which, answer.unwrap_or_else(lost))
}

async fn under_way(asked: &mut Option<Asked>) -> Result<Result<Got, TransportError>, JoinError> {
    match asked {
        Some(asked) => asked.await,
        None => core::future::pending().await,
    }
}

async fn handle(
    side: &mut NodeSide,
    talk: Option<&mut Talk>,
    happened: Happened,
    pace: Pace,
) -> Result<(), SideError> {
    match happened {
        Happened::Table(event) => side.event(event).await,
        Happened::Request(Request::Push(mail, done)) => {
            let said = side.mail(&mail).await?;
            side.settle().await?;
            // A manager that has hung up pushes again.
            let _ = done.send(side.answer(said)?);
            Ok(())
        }
        Happened::Time => {
            let said = side.tick().await?;
            if let Some(talk) = talk {
                talk.said.extend(said);
            }
            Ok(())
        }
        // Asked again in an hour, whatever went wrong.
        Happened::Answer(Which::Renewed, answer) => {
            match answer {
                Ok(Got::Answer(Answer::Taken(body))) => side.renewed(&body),
                Ok(_) => tracing::warn!("the transport certificate was not made anew: no answer"),
                // The authority that is to follow does not issue yet.
                Err(TransportError::Refused(409, text)) if text.contains("not_due") => {
                    tracing::debug!(text, "the transport certificate was not made anew");
                }
                Err(error) => tracing::warn!(%error, "the transport certificate was not made anew"),
            }
            Ok(())
        }
        Happened::Answer(which, answer) => {
            let Some(talk) = talk else { return Ok(()) };
            match answer {
                Ok(Got::Session(exporter)) => talk.session = Some(exporter),
                Ok(Got::Answer(Answer::Taken(body))) => {
                    talk.taken();
                    if body.is_empty() {
                        talk.signing.reset();
                        return Ok(());
                    }
                    let said = match strict::<Mail>(&body) {
                        Ok(mail) => side.mail(&mail).await?,
                        Err(_) => vec![side.malformed(&body)?],
                    };
                    talk.signing.reset();
                    if which == Which::Pulled {
                        talk.heard(said, pace);
                    } else {
                        talk.said.extend(said);
                    }
                }
                Ok(Got::Answer(Answer::Waiting)) => {
                    talk.failed(&TransportError::Unreachable("waiting".to_owned()), pace)
                }
                Err(error) => {
                    if which == Which::Sent {
                        talk.told = None;
                    }
                    talk.failed(&error, pace);
                }
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Sending;

    struct Nobody;

    impl Transport for Nobody {
        fn post(&self, _: Endpoint, _: Vec<u8>) -> Sending<'_> {
            Box::pin(core::future::pending())
        }
    }

    // How long the next hello waits after a failure.
    fn pause_after_failure(talk: &mut Talk) -> Duration {
        let now = Instant::now();
        talk.failed(&TransportError::Refused(503, "not now".to_owned()), Pace::default());
        talk.not_before.saturating_duration_since(now)
    }

    #[test]
    fn a_hello_alone_does_not_shorten_the_pause() {
        let mut talk = Talk::new(Arc::new(Nobody));
        let pauses: Vec<Duration> = (0..9)
            .map(|_| {
                talk.taken();
                assert!(talk.greeted);
                pause_after_failure(&mut talk)
            })
            .collect();
        assert!(pauses[8] >= Duration::from_secs(128), "{pauses:?}");
        // What was asked for after a hello and is taken ends it.
        talk.taken();
        talk.taken();
        assert!(pause_after_failure(&mut talk) < Duration::from_secs(2));
    }

    #[test]
    fn a_loss_ends_with_what_comes_after_a_hello() {
        let mut talk = Talk::new(Arc::new(Nobody));
        pause_after_failure(&mut talk);
        talk.taken();
        assert!(talk.contact.is_lost());
        talk.taken();
        assert!(!talk.contact.is_lost());
    }
}
