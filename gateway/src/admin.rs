//! The admin port: `/metrics`, `/healthz`, `/readyz`, on a thread of its own so that a scrape takes no time
//! from traffic. It answers nothing else and shows nothing of any frame.

use crate::gateway::Health;
use crate::metrics::Metrics;
use crate::{StartError, accept};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::Notify;

const UPKEEP: Duration = Duration::from_secs(5);
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The admin port. Dropping it closes it.
pub(crate) struct Admin {
    address: SocketAddr,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic in there was reported by the hook; there is nothing to add to it.
            let _ = thread.join();
        }
    }
}

/// Starts the thread.
pub(crate) fn start(at: SocketAddr, metrics: Arc<Metrics>, health: Health) -> Result<Admin, StartError> {
    let failed = |source| StartError::Bind { address: at, source };
    let socket = accept::bind(at).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(StartError::Thread)?;
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let run = move || {
        runtime.block_on(async {
            tokio::select! {
                () = stopped.notified() => {}
                () = upkeep(&metrics) => {}
                () = serve(socket, router(Arc::clone(&metrics), health)) => {}
            }
        });
    };
    let thread = std::thread::Builder::new().name("admin".into()).spawn(run).map_err(StartError::Thread)?;
    Ok(Admin { address, stop, thread: Some(thread) })
}

async fn upkeep(metrics: &Metrics) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        metrics.upkeep();
    }
}

async fn serve(socket: std::net::TcpListener, router: Router) {
    let served = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => axum::serve(socket, router).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::error!(%error, "the admin port ended");
    }
}

fn router(metrics: Arc<Metrics>, health: Health) -> Router {
    let metrics = move || {
        let text = metrics.render();
        async move { ([(header::CONTENT_TYPE, TEXT)], text) }
    };
    let ready = move || {
        let answer = match health.obstacle() {
            None => (StatusCode::OK, "ready\n".to_owned()),
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
        };
        async move { answer }
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
}
