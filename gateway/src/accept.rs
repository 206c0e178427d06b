//! The acceptor: one thread takes all connections, checks allow-list and limits before a byte is read, and
//! deals the connections round-robin to the cores. Hosts open few connections that live long, so the
//! kernel's own spreading by address hash could give all of them to one core.

use crate::StartError;
use crate::admission::{Admission, Permit, Reason};
use crate::core::{Handed, Sender};
use crate::metrics::Metrics;
use ipnet::IpNet;
use metrics::Gauge;
use socket2::{Domain, Protocol, Socket, Type};
use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::Notify;

const BACKLOG: i32 = 4096;
/// Pause when the process has no descriptor left; the kernel keeps the connection in its backlog.
const PAUSE: Duration = Duration::from_millis(50);

/// A listening socket with its rules.
pub(crate) struct Door {
    pub(crate) index: usize,
    pub(crate) socket: TcpListener,
    pub(crate) gauge: Gauge,
    pub(crate) allow: Vec<IpNet>,
}

/// Opens a port.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Stops an acceptor.
pub(crate) struct Stop(Arc<Notify>);

impl Stop {
    pub(crate) fn stop(&self) {
        self.0.notify_one();
    }
}

/// Counts an open connection in total, per address and per listener, until it goes.
pub(crate) struct Guest {
    _permit: Permit,
    gauge: Gauge,
}

impl Guest {
    fn new(permit: Permit, gauge: Gauge) -> Self {
        gauge.increment(1);
        Self { _permit: permit, gauge }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.gauge.decrement(1);
    }
}

struct Acceptor {
    admission: Arc<Admission>,
    metrics: Arc<Metrics>,
    cores: Vec<Sender>,
    next: Cell<usize>,
}

/// Starts the thread.
pub(crate) fn start(
    doors: Vec<Door>,
    admission: Arc<Admission>,
    metrics: Arc<Metrics>,
    cores: Vec<Sender>,
) -> Result<(Stop, JoinHandle<()>), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(StartError::Thread)?;
    let notify = Arc::new(Notify::new());
    let stop = Stop(Arc::clone(&notify));
    let run = move || {
        let acceptor = Rc::new(Acceptor { admission, metrics, cores, next: Cell::new(0) });
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            for door in doors {
                tokio::task::spawn_local(serve(Rc::clone(&acceptor), door));
            }
            notify.notified().await;
        });
    };
    let thread = std::thread::Builder::new().name("accept".into()).spawn(run).map_err(StartError::Thread)?;
    Ok((stop, thread))
}

async fn serve(acceptor: Rc<Acceptor>, door: Door) {
    let Door { index, socket, gauge, allow } = door;
    let socket = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "a listener cannot be watched"),
    };
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => match acceptor.admit(&allow, peer) {
                Ok(permit) => acceptor.deal(stream, index, Guest::new(permit, gauge.clone())),
                Err(reason) => {
                    acceptor.metrics.rejected(reason);
                    tracing::debug!(%peer, reason = reason.name(), "connection refused");
                }
            },
            Err(error) if of_one_connection(&error) => {}
            Err(error) => {
                acceptor.metrics.rejected(Reason::Descriptors);
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

impl Acceptor {
    fn admit(&self, allow: &[IpNet], peer: SocketAddr) -> Result<Permit, Reason> {
        let address = peer.ip().to_canonical();
        if !allow.is_empty() && !allow.iter().any(|net| net.contains(&address)) {
            return Err(Reason::AllowList);
        }
        self.admission.admit(address)
    }

    fn deal(&self, stream: tokio::net::TcpStream, listener: usize, guest: Guest) {
        let stream: TcpStream = match stream.set_nodelay(true).and_then(|()| stream.into_std()) {
            Ok(stream) => stream,
            // The peer has gone already.
            Err(_) => return,
        };
        let turn = self.next.get();
        self.next.set(turn.wrapping_add(1));
        let core = turn.checked_rem(self.cores.len()).and_then(|at| self.cores.get(at));
        if let Some(core) = core {
            core.hand(Handed { stream, listener, guest });
        }
    }
}
