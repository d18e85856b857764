//! The server as a whole.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::Error;
use crate::app::{App, table};
use crate::browser::Hosts;
use crate::context::ApiContext;
use crate::door::{Door, Knock};
use crate::exports::Exporter;
use crate::gate::Reach;
use crate::limits::CERTIFICATE_LOOK;
use crate::server;
use crate::socket::{Ended, Sockets};
use crate::tls::Tls;

/// The door, ready to be opened.
pub struct Api {
    context: ApiContext,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("limits", &self.context.limits).finish_non_exhaustive()
    }
}

impl Api {
    /// A door to these views.
    #[must_use]
    pub const fn new(context: ApiContext) -> Self {
        Self { context }
    }

    /// Serves until `shutdown` is done, then lets requests under way finish and says goodbye to WebSockets, within
    /// [`crate::Limits::stop_time`].
    ///
    /// # Errors
    /// A listener that other machines can reach, without TLS or a proxy in front, or under no name.
    pub async fn serve(self, listeners: Vec<TcpListener>, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let mut addresses = Vec::with_capacity(listeners.len());
        for listener in &listeners {
            let address: SocketAddr = listener.local_addr().map_err(Error::Listener)?;
            addresses.push(address);
        }
        let reach = {
            let context = &self.context;
            server::reach(&addresses, context.tls.is_some(), context.behind_proxy, &context.allowed_hosts)?
        };
        let limits = Arc::new(self.context.limits.clone());
        let (stop, stopping) = watch::channel(false);
        let tls = self.context.tls.clone();
        let Opened { app, door, ended } = open(self.context, &addresses, reach, stopping.clone());
        let exporting = Exporter::drive(app);
        let acceptor = tls.as_ref().map(Tls::acceptor);
        let serving = server::serve(listeners, acceptor, door, limits.clone(), stopping.clone());
        let mut serving = std::pin::pin!(async {
            tokio::select! {
                () = serving => {}
                () = watch_files(tls) => {}
                () = forever(exporting) => {}
            }
        });
        tokio::select! {
            () = &mut serving => {}
            () = shutdown => {
                let _ = stop.send(true);
                serving.await;
            }
        }
        let _ = tokio::time::timeout(limits.stop_time, ended.all()).await;
        Ok(())
    }
}

/// What a server is made of, besides its listeners.
pub(crate) struct Opened {
    pub(crate) app: Arc<App>,
    pub(crate) door: Arc<Door>,
    /// Tells when all WebSockets have ended.
    pub(crate) ended: Ended,
}

/// The door to these views, as it is reached at `addresses`.
pub(crate) fn open(
    context: ApiContext,
    addresses: &[SocketAddr],
    reach: Reach,
    stopping: watch::Receiver<bool>,
) -> Opened {
    let limits = Arc::new(context.limits.clone());
    let hosts = Hosts::new(addresses, &context.allowed_hosts, reach);
    let clock = context.clock.clone();
    let app = App::new(context, stopping, reach);
    let (sockets, ended) = Sockets::new(app.clone());
    let gate = app.clone();
    let knock: Knock = Box::new(move |method, headers, peer| gate.gate.who(&gate.context, method, headers, peer));
    let routes = Arc::new(table()).mount(app.clone(), clock);
    let door = Arc::new(Door::new(routes, hosts, limits, knock, sockets.into_upgrade()));
    Opened { app, door, ended }
}

/// Goes on waiting when the work is done.
async fn forever(work: impl Future<Output = ()>) {
    work.await;
    std::future::pending().await
}

/// Looks after the certificate; never ends.
async fn watch_files(tls: Option<Tls>) {
    let Some(tls) = tls else { return std::future::pending().await };
    let mut every = tokio::time::interval(CERTIFICATE_LOOK);
    loop {
        every.tick().await;
        let tls = tls.clone();
        let _ = tokio::task::spawn_blocking(move || tls.reload_if_changed()).await;
    }
}

/// Method and path of every route, as `("GET", "/api/jobs/:id")`: for tests and documents that must not miss one.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    let routes: Vec<_> = table().routes().map(|route| (route.method.clone(), route.path)).collect();
    routes.into_iter().map(|(method, path)| (method_name(&method), path))
}

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

fn method_name(method: &hyper::Method) -> &'static str {
    METHODS.into_iter().find(|name| *name == method.as_str()).unwrap_or("?")
}
