//! The exports folder: nothing is written or read outside of it, and nothing half is left in it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How deep the folder is looked through for what was left half done.
const MOST_DEEP: usize = 8;
/// Files of one name, as told apart by `-2`, `-3`, ...
const MOST_OF_ONE_NAME: u32 = 10_000;
const PART: &str = ".part";

/// The exports folder.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    root: PathBuf,
}

/// A file in the making.
#[derive(Debug)]
pub(crate) struct Part {
    path: PathBuf,
    folder: PathBuf,
    name: String,
    out: Option<BufWriter<File>>,
    hasher: blake3::Hasher,
    bytes: u64,
}

/// A file that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// Inside the exports folder, with `/` between folders.
    pub(crate) file: String,
    pub(crate) bytes: u64,
    pub(crate) digest: [u8; 32],
}

impl Place {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Removes what a process that was killed left half done.
    pub(crate) fn sweep(&self) {
        sweep(&self.root, MOST_DEEP);
    }

    /// Begins a file in a folder inside.
    ///
    /// # Errors
    /// The folder leads outside, or cannot be written.
    pub(crate) fn begin(&self, folder: &str, name: &str) -> io::Result<Part> {
        let inside = self.inside(folder)?;
        fs::create_dir_all(&inside).map_err(|error| named(&inside, &error))?;
        let real = self.real(&inside)?;
        // Two files of one name may be under way at once.
        static BEGUN: AtomicU64 = AtomicU64::new(0);
        let number = BEGUN.fetch_add(1, Ordering::Relaxed);
        let path = real.join(format!(".{name}.{}-{number}{PART}", std::process::id()));
        let out = File::options().write(true).create_new(true).open(&path).map_err(|error| named(&path, &error))?;
        Ok(Part {
            path,
            folder: real,
            name: name.to_owned(),
            out: Some(BufWriter::with_capacity(256 * 1024, out)),
            hasher: blake3::Hasher::new(),
            bytes: 0,
        })
    }

    /// Opens a file inside.
    ///
    /// # Errors
    /// It is not there, or leads outside.
    pub(crate) fn open(&self, file: &str) -> io::Result<File> {
        File::open(self.real(&self.inside(file)?)?)
    }

    /// True if the file is there.
    pub(crate) fn has(&self, file: &str) -> bool {
        self.inside(file).is_ok_and(|path| path.is_file())
    }

    /// Removes a file inside; it may be gone already.
    pub(crate) fn remove(&self, file: &str) -> io::Result<()> {
        match self.inside(file).and_then(|path| self.real(&path)).and_then(fs::remove_file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn inside(&self, path: &str) -> io::Result<PathBuf> {
        let is_plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if !is_plain {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{path} is not inside the exports folder"),
            ));
        }
        Ok(self.root.join(path))
    }

    /// The path with links followed; it must not lead outside.
    fn real(&self, path: &Path) -> io::Result<PathBuf> {
        let (root, real) = (fs::canonicalize(&self.root)?, fs::canonicalize(path)?);
        if real.starts_with(&root) {
            return Ok(real);
        }
        let message = format!("{} leads out of the exports folder", path.display());
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }

    /// The path as the ledger names it.
    fn name_of(&self, path: &Path) -> io::Result<String> {
        let root = fs::canonicalize(&self.root)?;
        let inside = path.strip_prefix(&root).map_err(io::Error::other)?;
        let parts: Vec<_> = inside.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        Ok(parts.join("/"))
    }

    /// Puts a whole file in its place, in one step. A file that is there already is not written over.
    ///
    /// # Errors
    /// The disk does not take it.
    pub(crate) fn keep(&self, mut part: Part) -> io::Result<Whole> {
        let out = part.out.take().ok_or_else(|| io::Error::other("the file is kept already"))?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        let (stem, ending) = part.name.rsplit_once('.').unwrap_or((&part.name, ""));
        for number in 1..=MOST_OF_ONE_NAME {
            let count = if number == 1 { String::new() } else { format!("-{number}") };
            let path = part.folder.join(format!("{stem}{count}.{ending}"));
            // Only whoever makes the empty file may put the whole one over it.
            match File::options().write(true).create_new(true).open(&path) {
                Ok(_) => {
                    if let Err(error) = netstats_log::rename(&part.path, &path) {
                        let _ = fs::remove_file(&path);
                        return Err(named(&path, &error));
                    }
                    // A renamed file survives a power cut only if its folder does.
                    let _ = netstats_log::sync_folder(&part.folder);
                    let digest = *part.hasher.finalize().as_bytes();
                    return Ok(Whole { file: self.name_of(&path)?, bytes: part.bytes, digest });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(named(&path, &error)),
            }
        }
        Err(io::Error::other(format!("there are {MOST_OF_ONE_NAME} files of the name {} already", part.name)))
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(out) = &mut self.out else { return Err(io::Error::other("the file is kept already")) };
        let written = out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// What is not kept is removed.
impl Drop for Part {
    fn drop(&mut self) {
        drop(self.out.take());
        let _ = fs::remove_file(&self.path);
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn sweep(folder: &Path, deep: usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() && deep > 0 {
            sweep(&entry.path(), deep - 1);
        } else if kind.is_file() && name.starts_with(".network-stats-") && name.ends_with(PART) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_of_one_name_may_be_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path().to_owned());
        let (mut one, mut two) = (place.begin("a", "x.csv").unwrap(), place.begin("a", "x.csv").unwrap());
        one.write_all(b"1").unwrap();
        two.write_all(b"22").unwrap();
        let kept = [place.keep(two).unwrap(), place.keep(one).unwrap()];
        assert_eq!(kept.each_ref().map(|whole| (whole.file.as_str(), whole.bytes)), [("a/x.csv", 2), ("a/x-2.csv", 1)]);
    }

    #[test]
    fn a_file_is_there_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path().join("exports"));
        let all = || walk(folder.path());
        let mut part = place.begin("monthly/office", "network-stats-a.csv").unwrap();
        part.write_all(b"half").unwrap();
        assert_eq!(all().len(), 1);
        drop(part);
        assert_eq!(all(), [] as [String; 0]);
        for (number, file) in
            ["monthly/network-stats-a.csv", "monthly/network-stats-a-2.csv", "monthly/network-stats-a-3.csv"]
                .into_iter()
                .enumerate()
        {
            let mut part = place.begin("monthly", "network-stats-a.csv").unwrap();
            part.write_all(&[b'x'; 3][..number]).unwrap();
            let whole = place.keep(part).unwrap();
            assert_eq!((whole.file.as_str(), whole.bytes), (file, number as u64));
            assert_eq!(whole.digest, *blake3::hash(&b"xxx"[..number]).as_bytes());
        }
        place.remove("monthly/network-stats-a.csv").unwrap();
        place.remove("monthly/network-stats-a.csv").unwrap();
        assert!(!place.has("monthly/network-stats-a.csv") && place.has("monthly/network-stats-a-2.csv"));
    }

    #[test]
    fn what_a_kill_left_half_done_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path().to_owned());
        std::mem::forget(place.begin("a/b", "network-stats-x.xlsx").unwrap());
        fs::write(folder.path().join("a/theirs.part"), "").unwrap();
        place.sweep();
        assert_eq!(walk(folder.path()), ["theirs.part"]);
    }

    #[test]
    fn nothing_leads_outside() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path().join("exports"));
        for bad in ["..", "../x", "/etc", "a/../../x"] {
            assert!(place.begin(bad, "network-stats.csv").is_err(), "{bad}");
            assert!(place.open(bad).is_err(), "{bad}");
        }
        fs::write(folder.path().join("secret"), "s").unwrap();
        assert!(place.remove("../secret").is_err() && folder.path().join("secret").exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_folder_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("exports"), folder.path().join("outside"));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        let place = Place::new(root);
        let error = place.begin("link", "network-stats.csv").unwrap_err();
        assert!(error.to_string().contains("leads out"), "{error}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }

    /// Names of all files below.
    fn walk(folder: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).unwrap().filter_map(Result::ok) {
            if entry.path().is_dir() {
                names.extend(walk(&entry.path()));
            } else {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        names
    }
}
