//! What counts: flag over variable over config file over default.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use netstats_log::SpaceFloor;

use crate::cli::Settings;
use crate::config::{self, Config};
use crate::exit::Usage;
use crate::paths::{LOCAL_CONFIG, Places};
use crate::trust::Trust;
use crate::{listen, logging};

/// Everything that was decided before anything starts.
#[derive(Debug)]
pub(crate) struct Decided {
    /// The config, and where it is read again from; none if it is the one built in.
    pub(crate) config: Config,
    pub(crate) config_file: Option<PathBuf>,
    /// Where data goes.
    pub(crate) data_dir: PathBuf,
    /// Where export jobs leave their files.
    pub(crate) exports_dir: PathBuf,
    /// Where to listen, as asked.
    pub(crate) listen: String,
    /// What is logged, how, and where.
    pub(crate) log: logging::Settings,
    /// How much of the disk the log leaves free.
    pub(crate) floor: SpaceFloor,
    /// Whom commands trust over TLS.
    pub(crate) trust: Trust,
}

/// Finds and reads the config file and settles the rest.
///
/// # Errors
/// The config file or a setting is wrong.
pub(crate) fn decide(settings: &Settings, places: &Places) -> Result<Decided> {
    let config_file = find_config(settings, places);
    let config = match &config_file {
        Some(file) => config::load(file)?,
        None => config::built_in()?,
    };
    let is_developer_start = settings.config.is_none() && config_file.as_deref() == Some(Path::new(LOCAL_CONFIG));
    let data_dir = match (&settings.data_dir, &config.data_dir) {
        (Some(folder), _) => folder.clone(),
        (None, Some(folder)) => beside(config_file.as_deref(), folder),
        (None, None) if is_developer_start => PathBuf::from("data"),
        (None, None) => places.data().context("the system names no folder for data: give one with --data-dir DIR")?,
    };
    let exports_dir = config.exports_dir.as_deref();
    let exports_dir =
        exports_dir.map_or_else(|| data_dir.join("exports"), |folder| beside(config_file.as_deref(), folder));
    let listen = settings.listen.clone().or_else(|| config.listen.clone()).unwrap_or(listen::DEFAULT.to_owned());
    listen::parse(&listen).and_then(|addresses| listen::check(&addresses, &config.server)).map_err(Usage)?;
    let log = log_settings(settings, &config, config_file.as_deref());
    logging::parse(&log.level).map_err(Usage)?;
    let floor = SpaceFloor { bytes: settings.min_free_mib.map(|mib| mib.saturating_mul(1024 * 1024)) };
    let configured = config.server.tls.as_ref().map(|files| beside(config_file.as_deref(), &files.cert));
    let trust = Trust::of(settings.ca.as_deref(), settings.fingerprint.as_deref(), configured)?;
    Ok(Decided { config, config_file, data_dir, exports_dir, listen, log, floor, trust })
}

fn log_settings(settings: &Settings, config: &Config, config_file: Option<&Path>) -> logging::Settings {
    let by_default = logging::Settings::default();
    let file = || config.log.file.as_deref().map(|file| beside(config_file, file));
    logging::Settings {
        is_level_fixed: settings.log_level.is_some(),
        level: settings.log_level.clone().or_else(|| config.log_level.clone()).unwrap_or(by_default.level),
        format: settings.log_format.or(config.log.format).unwrap_or(by_default.format),
        file: settings.log_file.clone().or_else(file),
        file_bytes: config.log.file_size.map_or(by_default.file_bytes, |size| size.0),
        files: config.log.files.unwrap_or(by_default.files),
    }
}

/// A relative path in the config file is relative to the file, wherever the product is started.
fn beside(config_file: Option<&Path>, path: &Path) -> PathBuf {
    config_file.and_then(Path::parent).map_or_else(|| path.to_owned(), |folder| folder.join(path))
}

fn find_config(settings: &Settings, places: &Places) -> Option<PathBuf> {
    let by_default =
        || std::iter::once(PathBuf::from(LOCAL_CONFIG)).chain(places.configs()).find(|file| file.is_file());
    settings.config.clone().or_else(by_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(config: &Path) -> Settings {
        Settings { config: Some(config.to_owned()), ..Settings::default() }
    }

    #[test]
    fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.ron");
        let text = r#"(server: (listen: "127.0.0.1:81"), data_dir: "d", log_level: "warn")"#;
        std::fs::write(&file, text).unwrap();
        let from_file = decide(&settings(&file), &Places::here()).unwrap();
        assert_eq!(from_file.data_dir, folder.path().join("d"));
        assert_eq!((&*from_file.listen, &*from_file.log.level), ("127.0.0.1:81", "warn"));

        let flags = Settings {
            data_dir: Some("elsewhere".into()),
            listen: Some("[::1]:82".into()),
            log_level: Some("debug".into()),
            ..settings(&file)
        };
        let from_flags = decide(&flags, &Places::here()).unwrap();
        assert_eq!(from_flags.data_dir, Path::new("elsewhere"));
        assert_eq!((&*from_flags.listen, &*from_flags.log.level), ("[::1]:82", "debug"));

        std::fs::write(&file, "()").unwrap();
        let by_default = decide(&settings(&file), &Places::here()).unwrap();
        assert_eq!((&*by_default.listen, &*by_default.log.level), ("localhost:8080", "info"));
    }

    #[test]
    fn wrong_flags_are_usage_errors() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.ron");
        std::fs::write(&file, "()").unwrap();
        let wrong = Settings { listen: Some("0.0.0.0:80".into()), ..settings(&file) };
        assert_eq!(crate::exit::code_of(&decide(&wrong, &Places::here()).unwrap_err()), 2);
        let wrong = Settings { log_level: Some("loud".into()), ..settings(&file) };
        assert_eq!(crate::exit::code_of(&decide(&wrong, &Places::here()).unwrap_err()), 2);
    }
}
