//! Lines of a server on standard error. Nothing of any frame or key is ever logged, whatever is asked for.

use std::io;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Begins. `PAYHSM_LOG` chooses levels by module, `warn,gateway=debug`; what it does not say well is as if unsaid.
pub fn start(json: bool) {
    let asked = std::env::var("PAYHSM_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let lines = tracing_subscriber::registry()
        .with(asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO)));
    if json {
        lines.with(fmt::layer().json().with_writer(io::stderr)).init();
    } else {
        lines.with(fmt::layer().with_writer(io::stderr)).init();
    }
}
