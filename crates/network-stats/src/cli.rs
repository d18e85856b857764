//! The command line. A flag goes before its environment variable, that before the config file, that before the
//! default.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::LogFormat;
use crate::doctor::DoctorArgs;
use crate::platform::service::ServiceCommand;
use crate::responder::ResponderArgs;

/// Measures destinations on a schedule, keeps everything, shows it live.
#[derive(Debug, Parser)]
#[command(name = "network-stats", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 it failed; 2 the config file or the command line is wrong; 3 the log is damaged;
4 the product did not stop in time and was cut off (nothing acknowledged is lost).";

/// What every command understands.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Settings {
    /// Config file [default: config/network-stats.ron here, else the system's place, else built in]
    #[arg(long, value_name = "FILE", env = "NETWORK_STATS_CONFIG", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Folder of the event log and the views
    #[arg(long, value_name = "DIR", env = "NETWORK_STATS_DATA_DIR", global = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where to listen: localhost:PORT or a loopback ADDRESS:PORT; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", env = "NETWORK_STATS_LISTEN", global = true)]
    pub(crate) listen: Option<String>,
    /// error, warn, info, debug, trace, or a filter
    #[arg(long, value_name = "LEVEL", env = "NETWORK_STATS_LOG_LEVEL", global = true)]
    pub(crate) log_level: Option<String>,
    /// How log lines are written: for people or as JSON objects
    #[arg(long, value_name = "FORMAT", env = "NETWORK_STATS_LOG_FORMAT", global = true)]
    pub(crate) log_format: Option<LogFormat>,
    /// Log into this file, put aside when it is full, instead of to standard error
    #[arg(long, value_name = "FILE", env = "NETWORK_STATS_LOG_FILE", global = true)]
    pub(crate) log_file: Option<PathBuf>,
    /// MiB of the disk that stay free: below it nothing is written [default: a twentieth of the disk, 256 to 4096]
    #[arg(long, value_name = "MIB", env = "NETWORK_STATS_MIN_FREE_MIB", global = true)]
    pub(crate) min_free_mib: Option<u64>,
    /// For commands that ask a product over TLS: whom to trust, as PEM [default: the certificate in the config file]
    #[arg(long, value_name = "FILE", env = "NETWORK_STATS_CA", global = true)]
    pub(crate) ca: Option<PathBuf>,
    /// The same by the BLAKE3 digest that `cert self-signed` shows
    #[arg(long, value_name = "HEX", env = "NETWORK_STATS_FINGERPRINT", global = true, conflicts_with = "ca")]
    pub(crate) fingerprint: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the product (also without any command)
    Serve,
    /// Be the other end of bandwidth tests (needs no data folder)
    Responder(ResponderArgs),
    /// Show the product full: months of invented history, live, without sending a packet
    Demo {
        /// Days of history
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::demo::MOST_DAYS)))]
        days: u32,
        /// Another seed is another history
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Look at everything a start needs: rights, ports, disk, clock, names, log; says what to do
    ///
    /// Ends with the code that a start would end with as things are: 0 it would run, 1 something keeps it from its
    /// work, 2 the config file is wrong, 3 the log is damaged.
    Doctor(DoctorArgs),
    /// Say how the running product does: 0 it works (also degraded), 1 it fails or does not answer
    Health,
    /// The product as a service of this machine
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages
    Man {
        /// Where to
        dir: PathBuf,
    },
    /// Say whether a config file is right
    CheckConfig {
        /// The file
        file: PathBuf,
    },
    /// Start a job, and resume those of its destinations that are paused (asks the running product)
    Start {
        /// Name or number
        job: String,
    },
    /// Stop a job (asks the running product)
    Stop {
        /// Name or number
        job: String,
    },
    /// Pause or resume a destination (asks the running product)
    #[command(subcommand)]
    Destination(DestinationCommand),
    /// Print the updates of a span of the log as lines of JSON (asks the running product)
    Replay(ReplayArgs),
    /// Show or change what is logged, until the next start (asks the running product)
    LogLevel {
        /// error, warn, info, debug, trace, or a filter as info,netstats_collector=debug [default: show it]
        level: Option<String>,
    },
    /// Take up the config file again (asks the running product)
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write what was measured to a file: an Excel report, rows as csv, JSON, JSON lines or Parquet, or an evidence pack
    Export(ExportArgs),
    /// Prove an evidence pack: its signature, its records and their chain, and every figure (needs no data folder)
    VerifyPack {
        /// The pack
        file: PathBuf,
        /// The public key of the installation that must have signed it (data/signing.pub)
        #[arg(long, value_name = "HEX")]
        key: Option<String>,
    },
    /// Look after the event log (but for `backup` the product must not be running)
    #[command(subcommand)]
    Log(LogCommand),
    /// Certificates for TLS
    #[command(subcommand)]
    Cert(CertCommand),
    /// Look after the views (the product must not be running)
    #[command(subcommand)]
    Views(ViewsCommand),
}

/// What is to be replayed.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// After this position, or from this time on (RFC 3339, or as now-24h)
    #[arg(long, value_name = "POSITION|TIME", default_value = "0")]
    pub(crate) from: String,
    /// Up to this position or time [default: what there is now]
    #[arg(long, value_name = "POSITION|TIME")]
    pub(crate) to: Option<String>,
    /// How many times as fast as it was recorded: 1 to 1000, or max
    #[arg(long, value_name = "TIMES|max", default_value = "max")]
    pub(crate) speed: String,
    /// Then go on with live updates
    #[arg(long)]
    pub(crate) follow: bool,
    /// Enter pauses the replay, and lets it go on
    #[arg(long)]
    pub(crate) interactive: bool,
    /// Only about these destinations, by name or number, with commas
    #[arg(long, value_name = "LIST")]
    pub(crate) destinations: Option<String>,
    /// Only about these jobs, by name or number, with commas
    #[arg(long, value_name = "LIST")]
    pub(crate) jobs: Option<String>,
    /// Only of these kinds or families (sample, run, config, observer), with commas
    #[arg(long, value_name = "LIST")]
    pub(crate) kinds: Option<String>,
}

/// What goes into a file.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ExportArgs {
    /// Jobs, by name or number; none: all
    pub(crate) jobs: Vec<String>,
    /// Only these destinations, by name or number
    #[arg(long = "destination", value_name = "DESTINATION", value_delimiter = ',')]
    pub(crate) destinations: Vec<String>,
    /// Only destinations with one of these tags
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',')]
    pub(crate) tags: Vec<String>,
    /// Only these metrics
    #[arg(long = "metric", value_name = "METRIC", value_delimiter = ',')]
    pub(crate) metrics: Vec<String>,
    /// From this time on: RFC 3339, or relative as now-7d [default: a day before --to]
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Up to this time [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Time zone of days and hours, as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
    /// xlsx, csv, json, jsonl, parquet or pack [default: that of --output, else xlsx]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Where to [default: the jobs' names, here]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// csv for an Excel of a country with decimal commas: `;` between fields, byte order mark
    #[arg(long)]
    pub(crate) excel_csv: bool,
}

/// About a destination.
#[derive(Debug, Subcommand)]
pub(crate) enum DestinationCommand {
    /// Do not measure it for now
    Pause {
        /// Name or number
        destination: String,
    },
    /// Measure it again
    Resume {
        /// Name or number
        destination: String,
    },
}

/// About certificates.
#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    /// Make a key and a certificate that it signs itself
    SelfSigned {
        /// Folder for cert.pem and key.pem
        #[arg(long, value_name = "DIR", default_value = "tls")]
        out: PathBuf,
        /// Names and addresses under which the server is reached
        #[arg(long = "name", value_name = "NAME", default_values = ["localhost", "127.0.0.1", "::1"])]
        names: Vec<String>,
    },
}

/// About the config.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Take up the config file again, without a restart
    Reload,
}

/// About the log.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Read the whole log and prove checksums, positions and chain
    Verify {
        /// A chain value noted before: prove that the log still holds that history
        #[arg(long, value_name = "POSITION:HASH")]
        head: Option<String>,
    },
    /// Say what the log consists of: positions, times, events of each kind, bytes on disk
    Stat,
    /// Print events as JSON lines, in the shape of live updates
    Dump {
        /// One JSON object for each line (the only format so far)
        #[arg(long)]
        json: bool,
        /// Only events of this kind, as `ping_measured`; may be given several times
        #[arg(long, value_name = "KIND")]
        kind: Vec<String>,
        /// From this position, or from events recorded at or after this time (RFC 3339, or as now-24h)
        #[arg(long, value_name = "POSITION|TIME")]
        from: Option<String>,
        /// Up to this position, or to events recorded at or before this time (RFC 3339, or as now-24h)
        #[arg(long, value_name = "POSITION|TIME")]
        to: Option<String>,
    },
    /// Save what can be proved of a damaged log, and say what is lost
    #[command(group = clap::ArgGroup::new("mode").required(true))]
    Repair {
        /// Only say what would be saved and lost
        #[arg(long, group = "mode")]
        dry_run: bool,
        /// Build the repaired log; the damaged one is moved aside, never deleted
        #[arg(long, group = "mode")]
        apply: bool,
        /// Append what was proved after a hole again, at new positions (else it is only kept in a file)
        #[arg(long, conflicts_with = "dry_run")]
        rejoin: bool,
    },
    /// Copy what is new of the log to DIR, proved; the product may be running
    Backup {
        /// The backup's folder; each run adds what is new
        dir: PathBuf,
    },
    /// Make the log anew from a backup, into a data folder that holds none
    Restore {
        /// The backup's folder
        dir: PathBuf,
        /// Only up to this position, or to events recorded at or before this time (RFC 3339, or as now-24h)
        #[arg(long, value_name = "POSITION|TIME")]
        to: Option<String>,
    },
}

/// About the views.
#[derive(Debug, Subcommand)]
pub(crate) enum ViewsCommand {
    /// Fold all views anew from the log, and say their digests before and after
    Rebuild,
}

impl Settings {
    /// An empty variable is one that is not set.
    pub(crate) fn without_empty(mut self) -> Self {
        self.config = self.config.filter(|path| !path.as_os_str().is_empty());
        self.data_dir = self.data_dir.filter(|path| !path.as_os_str().is_empty());
        self.listen = self.listen.filter(|text| !text.is_empty());
        self.log_level = self.log_level.filter(|text| !text.is_empty());
        self.log_file = self.log_file.filter(|path| !path.as_os_str().is_empty());
        self
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_may_stand_before_or_after_the_command() {
        let cli = Cli::parse_from(["network-stats", "serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(cli.settings.listen.as_deref(), Some("127.0.0.1:0"));
        let cli = Cli::parse_from(["network-stats", "--data-dir", "x"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.settings.data_dir, Some(PathBuf::from("x")));
    }
}
