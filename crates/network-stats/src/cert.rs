//! `network-stats cert self-signed`: a certificate for a server that has none yet.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::ask::say;
use crate::platform;

/// Makes `cert.pem` and `key.pem` in `folder`, for these names; files that are there are left alone.
///
/// # Errors
/// A file is there already, or cannot be written; a name is none.
pub(crate) fn self_signed(folder: &Path, names: &[String]) -> Result<()> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    for file in [&cert, &key] {
        if file.exists() {
            bail!("{} is there already: move it away, or name another folder with --out", file.display());
        }
    }
    let made =
        rcgen::generate_simple_self_signed(names.to_vec()).context("no certificate can be made of these names")?;
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    write_closed(&key, &made.signing_key.serialize_pem())?;
    fs::write(&cert, made.cert.pem()).with_context(|| format!("{} cannot be written", cert.display()))?;
    let digest = blake3::hash(made.cert.der());
    say(&format!("certificate  {}", cert.display()));
    say(&format!("key          {}", key.display()));
    say(&format!("names        {}", names.join(", ")));
    say(&format!("BLAKE3       {digest}"));
    say("Browsers warn of it once, for nobody they know signed it. In the config file:");
    say(&format!("  server: (tls: (cert: {:?}, key: {:?}))", cert.display().to_string(), key.display().to_string()));
    Ok(())
}

/// A file that only its owner can read.
fn write_closed(path: &Path, text: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let written = platform::for_owner(&mut options).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_a_certificate_that_the_server_takes_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["localhost".to_owned(), "stats.test".to_owned(), "192.0.2.1".to_owned()];
        self_signed(folder.path(), &names).unwrap();
        netstats_api::Tls::load(&folder.path().join("cert.pem"), &folder.path().join("key.pem")).unwrap();
        let said = self_signed(folder.path(), &names).unwrap_err().to_string();
        assert!(said.contains("is there already"), "{said}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join("key.pem")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
