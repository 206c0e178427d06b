//! A `payhsm serve` that becomes a node while it serves: it asks until the officers have decided, then takes keys.

use crate::exit::Failure;
use gateway::node::{
    EnrolError, Enrolment, HttpsTransport, Identity, NodeService, ServiceSetup, Store, class_letter,
    identity_file, join, pending_file, store_file,
};
use keylink::message::EnrolmentToken;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Between two questions.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Begins to ask, within a runtime that goes on with it; gives the line that says who this node is. `None` when the
/// node is known already.
pub fn begin(
    data: &Path,
    token: &Path,
    name: String,
    setup: ServiceSetup,
) -> Result<Option<String>, Failure> {
    if identity_file(data).exists() {
        return Ok(None);
    }
    let enrolment = asking(data, token, &setup)?;
    let (node, request) = enrolment.fingerprints();
    let line = format!("node name={name} id={node} request={request}");
    let data = data.to_owned();
    tokio::spawn(async move {
        match enrol(&data, &enrolment, &name, &setup).await {
            Ok(identity) => tracing::info!(node = %identity.node(), "enrolled"),
            Err(error) => return tracing::error!(%error, "not enrolled"),
        }
        match NodeService::start(setup) {
            // It takes keys as long as this task is there, which is as long as the process.
            Ok(_service) => core::future::pending().await,
            Err(error) => tracing::error!(%error, "no key distribution; traffic goes on"),
        }
    });
    Ok(Some(line))
}

fn asking(data: &Path, token: &Path, setup: &ServiceSetup) -> Result<Enrolment, Failure> {
    let text = std::fs::read_to_string(token)
        .map_err(|e| Failure::environment(format!("{}: {e}", token.display())))?;
    let token = EnrolmentToken::from_line(&text)
        .ok_or_else(|| Failure::usage(format!("{}: not a token for a node", token.display())))?;
    let keeper = setup.keeper().map_err(Failure::environment)?;
    Enrolment::kept_by(&keeper, &pending_file(data), token).map_err(Failure::environment)
}

async fn enrol(
    data: &Path,
    enrolment: &Enrolment,
    name: &str,
    setup: &ServiceSetup,
) -> Result<Identity, EnrolError> {
    let url = setup.table.manager.clone().unwrap_or_else(|| enrolment.identity().url.clone());
    let transport = HttpsTransport::new(&url, &enrolment.identity().tls())?;
    // Closed before the service opens it.
    let store = Store::open(&store_file(data))?;
    let class = class_letter(setup.class).to_string();
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let utc_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        match join(enrolment, name, &class, &transport, &store, utc_ms).await {
            Ok(identity) => {
                let kept = identity.save(&identity_file(data));
                kept.map_err(|error| EnrolError::Keys(error.to_string()))?;
                // Of no more use; a leftover would do no harm.
                let _ = std::fs::remove_file(pending_file(data));
                return Ok(identity);
            }
            Err(EnrolError::Waiting) => {}
            Err(EnrolError::Transport(error)) => tracing::warn!(%error, "asks again"),
            Err(error @ EnrolError::NotSigned(_)) => tracing::warn!(%error, "asks again"),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}
