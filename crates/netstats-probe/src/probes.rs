//! The probes of this program, opened once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use netstats_event::ProbeKind;

use crate::{
    BandwidthProbe, Capabilities, DnsProbe, Guard, HttpProbe, IcmpTransport, PingProbe, Probe, Resolver,
    SurgeTransport, TcpProbe, Tls, TracerouteProbe, capabilities, platform,
};

/// How the probes are set up.
#[derive(Clone, Default)]
pub struct ProbesConfig {
    /// Use the portable ICMP engine even where a better one exists.
    pub portable_icmp: bool,
    /// The folder whose files hold the secrets that jobs name.
    pub secrets: Option<PathBuf>,
    /// Says which addresses may be probed; none: all.
    pub guard: Option<Guard>,
}

impl fmt::Debug for ProbesConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { portable_icmp, secrets, guard } = self;
        f.debug_struct("ProbesConfig")
            .field("portable_icmp", portable_icmp)
            .field("secrets", secrets)
            .field("is_guarded", &guard.is_some())
            .finish()
    }
}

/// All probes of this program. Cheap to clone.
#[derive(Clone)]
pub struct Probes {
    by_kind: BTreeMap<ProbeKind, Arc<dyn Probe>>,
    icmp: Option<Arc<dyn IcmpTransport>>,
}

impl Probes {
    /// Opens what the system allows. What it does not allow is reported by each run and by [`Self::capabilities`].
    #[must_use]
    pub fn open(config: &ProbesConfig) -> Self {
        Self::resolving(config, Resolver::system())
    }

    /// The same, with names resolved by `resolver`.
    #[must_use]
    pub fn resolving(config: &ProbesConfig, resolver: Resolver) -> Self {
        let resolver = Arc::new(resolver.guarded(config.guard.clone()));
        let own = if config.portable_icmp { None } else { platform::icmp_transport() };
        let icmp: Arc<dyn IcmpTransport> = own.unwrap_or_else(|| Arc::new(SurgeTransport::new()));
        let tls = Tls::default();
        let probes = Self::of(vec![
            Arc::new(PingProbe::new(Arc::clone(&icmp), Arc::clone(&resolver))),
            Arc::new(TracerouteProbe::new(Arc::clone(&icmp), Arc::clone(&resolver))),
            Arc::new(BandwidthProbe::new(
                Arc::clone(&icmp),
                Arc::clone(&resolver),
                tls.clone(),
                config.secrets.clone(),
            )),
            Arc::new(TcpProbe::new(Arc::clone(&resolver))),
            Arc::new(DnsProbe::new(Arc::clone(&resolver), tls.clone())),
            Arc::new(HttpProbe::new(resolver, tls)),
        ]);
        probes.with_icmp(icmp)
    }

    /// These probes: for tests and simulations.
    #[must_use]
    pub fn of(probes: Vec<Arc<dyn Probe>>) -> Self {
        Self { by_kind: probes.into_iter().map(|probe| (probe.kind(), probe)).collect(), icmp: None }
    }

    /// With that ICMP engine for bursts without a destination.
    #[must_use]
    pub fn with_icmp(mut self, icmp: Arc<dyn IcmpTransport>) -> Self {
        self.icmp = Some(icmp);
        self
    }

    /// The probe of that kind; none if this program has none.
    #[must_use]
    pub fn get(&self, kind: ProbeKind) -> Option<&Arc<dyn Probe>> {
        self.by_kind.get(&kind)
    }

    /// The ICMP engine, for who wants to send bursts without a destination; none in tests.
    #[must_use]
    pub fn icmp(&self) -> Option<&Arc<dyn IcmpTransport>> {
        self.icmp.as_ref()
    }

    /// What the system allows, and what troubles the engines now.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        let mut found = capabilities();
        if let Some(trouble) = self.icmp.as_ref().and_then(|icmp| icmp.trouble()) {
            for icmp in [&mut found.icmp_v4, &mut found.icmp_v6] {
                icmp.problem.get_or_insert_with(|| trouble.clone());
            }
        }
        found
    }
}
