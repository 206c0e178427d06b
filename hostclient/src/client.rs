//! The client that programs hold.

use crate::connection::{self, Job};
use crate::pump::Pump;
use crate::stream::connect;
use crate::{Error, Options, frame, message};
use hostcmd::Code;
use hostcmd::command::Command;
use hostcmd::decode::LmkId;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// A client of one unit. Clones share the connection; it closes when the last of them is dropped.
#[derive(Clone, Debug)]
pub struct Client {
    jobs: mpsc::Sender<Job>,
    options: Arc<Options>,
}

impl Client {
    /// Connects; fails when the unit cannot be reached now. Later losses are mended in the background.
    pub async fn connect(address: &str, options: Options) -> Result<Self, Error> {
        let first = connect(address, &options).await?;
        let (jobs, queue) = mpsc::channel(options.in_flight_max.max(1));
        let options = Arc::new(options);
        tokio::spawn(connection::run(address.to_owned(), Arc::clone(&options), first, queue));
        Ok(Self { jobs, options })
    }

    /// Calls a command under the LMK of the port. `None` comes with the code of a refusal.
    pub async fn call<C: Command>(&self, request: C::Request) -> Result<(Code, Option<C::Reply>), Error> {
        self.call_under::<C>(None, request).await
    }

    /// Calls a command under an LMK of its own choice.
    pub async fn call_under<C: Command>(
        &self,
        lmk: Option<LmkId>,
        request: C::Request,
    ) -> Result<(Code, Option<C::Reply>), Error> {
        let mut bytes = Vec::new();
        message::write::<C>(request, lmk, &self.options, &mut bytes)?;
        let reply = self.exchange(bytes).await?;
        message::read::<C>(&reply, &self.options)
    }

    /// Sends a message, command code first, and gives the reply, reply code first: both without header.
    pub async fn exchange(&self, message: impl Into<Vec<u8>>) -> Result<Vec<u8>, Error> {
        let message = message.into();
        let length = message.len().saturating_add(self.options.header_length);
        if message.len() < 2 || length > frame::FRAME_MAX {
            return Err(Error::Length(length));
        }
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            self.jobs.send(Job { message, reply }).await.map_err(|_| Error::Lost)?;
            answer.await.map_err(|_| Error::Lost)?
        };
        timeout(self.options.timeout, exchange).await.map_err(|_| Error::Timeout)?
    }
}

/// One frame, header included, on a connection of its own: sent as it stands, and the first frame that
/// comes back.
pub async fn once(address: &str, options: &Options, frame: &[u8]) -> Result<Vec<u8>, Error> {
    let mut pump = Pump::new(connect(address, options).await?);
    frame::append(&mut pump.out, &[frame])?;
    let exchange = async {
        loop {
            pump.turn().await.map_err(|_| Error::Lost)?;
            if let Some(reply) = pump.frames.next_frame() {
                return Ok(reply.to_vec());
            }
        }
    };
    timeout(options.timeout, exchange).await.map_err(|_| Error::Timeout)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::{Answer, Toy};
    use hostcmd::commands::b2_echo::{Echo, Request};
    use hostcmd::wire::Number;
    use std::time::Duration;

    fn options() -> Options {
        Options { timeout: Duration::from_secs(5), ..Options::default() }
    }

    fn echo(n: usize) -> Vec<u8> {
        let data = n.to_string();
        format!("B2{:04X}{data}", data.len()).into_bytes()
    }

    #[tokio::test]
    async fn typed_calls() {
        let toy = Toy::start(Answer::InOrder).await;
        let client = Client::connect(&toy.address, options()).await.unwrap();
        let request = Request { length: Number(4), data: b"ping".to_vec() };
        let (code, reply) = client.call::<Echo>(request).await.unwrap();
        assert_eq!((code, reply.unwrap().data.as_slice()), (Code::OK, b"0004ping".as_slice()));
    }

    async fn many(answer: Answer, header_length: usize) -> usize {
        let toy = Toy::with_header(answer, header_length).await;
        let options = Options { header_length, ..options() };
        let client = Client::connect(&toy.address, options).await.unwrap();
        let calls: Vec<_> = (0..500)
            .map(|n| {
                let client = client.clone();
                tokio::spawn(async move { (n, client.exchange(echo(n)).await) })
            })
            .collect();
        for call in calls {
            let (n, reply) = call.await.unwrap();
            let expected = [b"B300", &echo(n)[2..]].concat();
            assert_eq!(reply.unwrap(), expected, "reply of another request");
        }
        toy.largest_batch()
    }

    #[tokio::test]
    async fn many_in_flight_share_a_write_and_each_gets_its_own_reply() {
        assert!(many(Answer::InOrder, 4).await > 1, "nothing was pipelined");
        assert!(many(Answer::InOrder, 0).await > 1, "nothing was pipelined");
    }

    #[tokio::test]
    async fn replies_may_come_in_another_order() {
        many(Answer::Reversed, 4).await;
    }

    #[tokio::test]
    async fn fewer_ids_than_requests_only_slow_down() {
        many(Answer::InOrder, 1).await;
    }

    #[tokio::test]
    async fn silence_is_a_time_out_and_a_late_reply_goes_to_nobody_else() {
        let toy = Toy::start(Answer::FirstLate).await;
        let options = Options { timeout: Duration::from_millis(100), ..options() };
        let client = Client::connect(&toy.address, options).await.unwrap();
        assert!(matches!(client.exchange(echo(1)).await, Err(Error::Timeout)));
        // The toy sends the late reply together with that of the next request.
        assert_eq!(client.exchange(echo(2)).await.unwrap(), [b"B300", &echo(2)[2..]].concat());
    }

    #[tokio::test]
    async fn a_lost_connection_fails_what_was_in_flight_and_is_mended() {
        let toy = Toy::start(Answer::FirstConnectionCloses).await;
        let client = Client::connect(&toy.address, options()).await.unwrap();
        assert!(matches!(client.exchange(echo(1)).await, Err(Error::Lost)));
        assert_eq!(client.exchange(echo(2)).await.unwrap(), [b"B300", &echo(2)[2..]].concat());
        assert_eq!(toy.connections(), 2);
    }

    #[tokio::test]
    async fn a_foreign_header_is_never_given_out() {
        let toy = Toy::start(Answer::ForeignHeader).await;
        let client = Client::connect(&toy.address, options()).await.unwrap();
        assert!(matches!(client.exchange(echo(1)).await, Err(Error::Lost)));
    }

    #[tokio::test]
    async fn refusals_before_anything_is_sent() {
        let toy = Toy::start(Answer::InOrder).await;
        let client = Client::connect(&toy.address, options()).await.unwrap();
        assert!(matches!(client.exchange(*b"B").await, Err(Error::Length(_))));
        assert!(matches!(client.exchange(vec![b'A'; 70_000]).await, Err(Error::Length(_))));
        let gone = toy.address.clone();
        drop(toy);
        let nobody = Client::connect(&gone, options()).await;
        assert!(matches!(nobody, Err(Error::Connect { .. })));
    }

    #[tokio::test]
    async fn one_frame_alone() {
        let toy = Toy::start(Answer::InOrder).await;
        let reply = once(&toy.address, &options(), b"HEADB20000").await.unwrap();
        assert_eq!(reply, b"HEADB3000000");
    }
}
