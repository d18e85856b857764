//! Live updates: every event, to everybody who wants it, without anybody making the pipeline wait.
//!
//! ```
//! use netstats_broadcast::{BroadcastProjector, Delivery, Filter};
//! use netstats_event::{CollectorStopped, Envelope, Position, Timestamp};
//! use netstats_projector::Projector;
//!
//! let (mut projector, broadcaster) = BroadcastProjector::new();
//! let mut subscription = broadcaster.subscribe(Filter::default())?;
//! let event = CollectorStopped { reason: "example".into() }.into();
//! projector.apply(&[Envelope { position: Position(1), recorded_at: Timestamp::default(), event }]);
//! assert!(matches!(subscription.try_recv(), Some(Delivery::Update(update)) if update.envelope.position == Position(1)));
//! # Ok::<(), netstats_projector::Error>(())
//! ```
//!
//! # It is not
//! - a socket, or JSON: it hands typed updates to whoever encodes and sends them;
//! - a store: what was missed is in the log, and [`Follow`] reads it from there.

mod broadcaster;
mod follow;
mod limits;
mod update;

pub use broadcaster::{BroadcastProjector, Broadcaster, Delivery, Lag, Subscription};
pub use follow::{Follow, Step, replay};
pub use limits::{JOIN_DISTANCE, MAX_LAGS, MAX_SUBSCRIPTIONS, MAX_WAITING};
pub use update::{Filter, Update};
