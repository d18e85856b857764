//! Where the config file and the data live when nobody says.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::platform;

/// Where a config file is looked for in the current folder: a start out of the source folder.
pub(crate) const LOCAL_CONFIG: &str = "config/network-stats.ron";
const NAME: &str = "network-stats";

/// What the system says about its folders; a value of its own so that all systems are tested on each.
#[derive(Debug)]
pub(crate) struct Places {
    system: System,
    is_root: bool,
    get: fn(&str) -> Option<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Windows,
    MacOs,
    Other,
}

impl Places {
    /// Those of this machine.
    pub(crate) fn here() -> Self {
        let system = match env::consts::OS {
            "windows" => System::Windows,
            "macos" => System::MacOs,
            _ => System::Other,
        };
        Self { system, is_root: platform::is_root(), get: |name| env::var_os(name).filter(|value| !value.is_empty()) }
    }

    fn home(&self, below: &str) -> Option<PathBuf> {
        Some(PathBuf::from((self.get)("HOME")?).join(below))
    }

    /// The folder for data.
    pub(crate) fn data(&self) -> Option<PathBuf> {
        Some(match self.system {
            System::Windows => PathBuf::from((self.get)("ProgramData")?).join(NAME).join("data"),
            System::MacOs if self.is_root => Path::new("/Library/Application Support").join(NAME).join("data"),
            System::MacOs => self.home("Library/Application Support")?.join(NAME).join("data"),
            // systemd sets it for a service with StateDirectory=.
            System::Other if (self.get)("STATE_DIRECTORY").is_some() => PathBuf::from((self.get)("STATE_DIRECTORY")?),
            System::Other if self.is_root => Path::new("/var/lib").join(NAME),
            System::Other => match (self.get)("XDG_DATA_HOME") {
                Some(folder) => PathBuf::from(folder).join(NAME),
                None => self.home(".local/share")?.join(NAME),
            },
        })
    }

    /// Config files, the first that exists counts.
    pub(crate) fn configs(&self) -> Vec<PathBuf> {
        let file = |folder: Option<PathBuf>| folder.map(|folder| folder.join(NAME).join("network-stats.ron"));
        let own = match self.system {
            System::Windows => file((self.get)("ProgramData").map(PathBuf::from)),
            System::MacOs => file(self.home("Library/Application Support")),
            System::Other => file((self.get)("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| self.home(".config"))),
        };
        let shared = match self.system {
            System::Windows => None,
            System::MacOs => file(Some(PathBuf::from("/Library/Application Support"))),
            System::Other => file(Some(PathBuf::from("/etc"))),
        };
        own.into_iter().chain(shared).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(name: &str) -> Option<OsString> {
        let value = match name {
            "HOME" => "/home/ada",
            "ProgramData" => "C:/ProgramData",
            _ => return None,
        };
        Some(value.into())
    }

    fn data(system: System, is_root: bool) -> PathBuf {
        Places { system, is_root, get }.data().unwrap()
    }

    #[test]
    fn each_system_has_its_place() {
        assert_eq!(data(System::Other, false), Path::new("/home/ada/.local/share/network-stats"));
        assert_eq!(data(System::Other, true), Path::new("/var/lib/network-stats"));
        assert_eq!(data(System::MacOs, false), Path::new("/home/ada/Library/Application Support/network-stats/data"));
        assert_eq!(data(System::Windows, false), Path::new("C:/ProgramData/network-stats/data"));
        assert_eq!(Places { system: System::Other, is_root: false, get: |_| None }.data(), None);
    }

    #[test]
    fn the_environment_moves_it() {
        let get = |name: &str| (name == "XDG_DATA_HOME").then(|| "/x".into());
        assert_eq!(
            Places { system: System::Other, is_root: false, get }.data().unwrap(),
            Path::new("/x/network-stats")
        );
        let get = |name: &str| (name == "STATE_DIRECTORY").then(|| "/var/lib/ns".into());
        assert_eq!(Places { system: System::Other, is_root: true, get }.data().unwrap(), Path::new("/var/lib/ns"));
    }

    #[test]
    fn configs_are_the_users_then_the_machines() {
        let found = Places { system: System::Other, is_root: false, get }.configs();
        let expected = ["/home/ada/.config/network-stats/network-stats.ron", "/etc/network-stats/network-stats.ron"];
        assert_eq!(found, expected.map(PathBuf::from));
    }
}
