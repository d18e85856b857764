//! A disk in memory, mounted through FUSE, that notes in order what it is told; and what a power cut at any moment may
//! leave of it.
//!
//! # What a cut may leave
//! - Names and lengths set (create, rename, remove, `set_len`) are kept in order up to some moment, as journaling file
//!   systems do (ext4, xfs); or, harsher, each one that no sync covers is kept or forgotten by itself.
//! - Written bytes that no sync covers are kept or not, sector by sector (512 bytes, or blocks of 4 KiB), in any order:
//!   a sector holds what it held after any one of the writes since the last sync. A sector itself is never torn.
//! - A file that grew has grown up to the last sector that was kept, or as far as was written, with zeros in between.
//! - `fsync` of a file keeps its bytes, length and name; `fdatasync` too, but not what a rename called it; `fsync` of a
//!   folder keeps its names.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::support::Random;

/// The rules under which names that no sync covers come back one by one, in any order.
pub(crate) const NAMES_ONE_BY_ONE: &str = "each name by itself";

const SECTOR: usize = 512;
const ROOT: u64 = 1;
/// The kernel is the only one to change anything, so that what it knows stays true.
const FOR_EVER: Duration = Duration::from_secs(3_600);

/// One thing that the disk was told.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create { node: u64, parent: u64, name: OsString, is_folder: bool },
    Remove { parent: u64, name: OsString },
    Rename { node: u64, from: (u64, OsString), to: (u64, OsString) },
    SetLength { node: u64, length: u64 },
    Write { node: u64, at: u64, bytes: Vec<u8> },
    Sync { node: u64, is_data_only: bool },
}

#[derive(Clone, Debug)]
enum Node {
    Folder(BTreeMap<OsString, u64>),
    File(Content),
}

/// A file's bytes; what was never written is zeros.
#[derive(Clone, Debug, Default)]
struct Content {
    length: u64,
    sectors: BTreeMap<u64, [u8; SECTOR]>,
}

impl Content {
    fn write(&mut self, at: u64, bytes: &[u8]) {
        for (sector, offset, piece) in pieces(at, bytes, SECTOR) {
            let start = usize::try_from(offset % SECTOR as u64).unwrap();
            self.sectors.entry(sector).or_insert([0; SECTOR])[start..start + piece.len()].copy_from_slice(piece);
        }
        self.length = self.length.max(at + bytes.len() as u64);
    }

    fn set_length(&mut self, length: u64) {
        self.length = length;
        self.sectors.split_off(&length.div_ceil(SECTOR as u64));
        if let Some(last) = self.sectors.get_mut(&(length / SECTOR as u64)) {
            last[usize::try_from(length % SECTOR as u64).unwrap()..].fill(0);
        }
    }

    fn read(&self, at: u64, length: usize) -> Vec<u8> {
        let end = (at + length as u64).min(self.length);
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(at)).unwrap()];
        for (sector, content) in self.sectors.range(at / SECTOR as u64..end.div_ceil(SECTOR as u64).max(1)) {
            let start = sector * SECTOR as u64;
            let (from, to) = (start.max(at), (start + SECTOR as u64).min(end));
            if from < to {
                let part = usize::try_from(from - start).unwrap()..usize::try_from(to - start).unwrap();
                bytes[usize::try_from(from - at).unwrap()..][..part.len()].copy_from_slice(&content[part]);
            }
        }
        bytes
    }
}

/// Bytes by the units they lie in: the unit's number, the offset in the file, the part.
fn pieces(at: u64, bytes: &[u8], unit: usize) -> impl Iterator<Item = (u64, u64, &[u8])> {
    let first = unit - usize::try_from(at % unit as u64).unwrap();
    let (head, rest) = bytes.split_at(first.min(bytes.len()));
    std::iter::once(head).chain(rest.chunks(unit)).filter(|piece| !piece.is_empty()).scan(at, move |next, piece| {
        let offset = *next;
        *next += piece.len() as u64;
        Some((offset / unit as u64, offset, piece))
    })
}

/// Folders and files; names lead from the root, and a file without a name lives on while it is open.
#[derive(Clone, Debug)]
pub(crate) struct Tree(HashMap<u64, Node>);

impl Tree {
    fn new() -> Self {
        Self(HashMap::from([(ROOT, Node::Folder(BTreeMap::new()))]))
    }

    fn names(&mut self, folder: u64) -> Option<&mut BTreeMap<OsString, u64>> {
        match self.0.get_mut(&folder) {
            Some(Node::Folder(names)) => Some(names),
            _ => None,
        }
    }

    fn content(&mut self, node: u64) -> Option<&mut Content> {
        match self.0.get_mut(&node) {
            Some(Node::File(content)) => Some(content),
            _ => None,
        }
    }

    /// Nodes exist from their creation on, even if the name given to them was forgotten.
    fn make(&mut self, op: &Op) {
        if let Op::Create { node, is_folder, .. } = op {
            let new = if *is_folder { Node::Folder(BTreeMap::new()) } else { Node::File(Content::default()) };
            self.0.insert(*node, new);
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { node, parent, name, .. } => {
                self.names(*parent).expect("a folder is made first").insert(name.clone(), *node);
            }
            Op::Remove { parent, name } => {
                self.names(*parent).expect("a folder is made first").remove(name);
            }
            Op::Rename { node, from, to } => {
                let names = self.names(from.0).expect("a folder is made first");
                if names.get(&from.1) == Some(node) {
                    names.remove(&from.1);
                }
                self.names(to.0).expect("a folder is made first").insert(to.1.clone(), *node);
            }
            Op::SetLength { node, length } => self.content(*node).expect("a file").set_length(*length),
            Op::Write { node, at, bytes } => self.content(*node).expect("a file").write(*at, bytes),
            Op::Sync { .. } => {}
        }
    }

    /// Writes what is under that name at the root into a real folder.
    pub(crate) fn write_out(&mut self, name: &str, to: &Path) {
        if let Some(node) = self.names(ROOT).and_then(|names| names.get(OsStr::new(name)).copied()) {
            self.write_node(node, to);
        }
    }

    fn write_node(&self, node: u64, to: &Path) {
        match &self.0[&node] {
            Node::Folder(names) => {
                std::fs::create_dir(to).unwrap();
                names.iter().for_each(|(name, node)| self.write_node(*node, &to.join(name)));
            }
            Node::File(content) => {
                let file = File::create(to).unwrap();
                file.set_len(content.length).unwrap();
                for (sector, bytes) in &content.sectors {
                    let at = sector * SECTOR as u64;
                    let end = usize::try_from((content.length - at).min(SECTOR as u64)).unwrap();
                    file.write_all_at(&bytes[..end], at).unwrap();
                }
            }
        }
    }
}

/// Which writes a sync covers, and which names and lengths are kept.
struct Cut<'a> {
    ops: &'a [Op],
    unit: usize,
    rules: &'static str,
    /// The last sync of each node.
    synced: HashMap<u64, usize>,
    /// For each operation on names and lengths.
    is_kept: Vec<bool>,
    /// How many of the unsynced writes to a unit are kept; and how many have been seen.
    kept: HashMap<(u64, u64), (u64, u64)>,
}

impl<'a> Cut<'a> {
    fn new(ops: &'a [Op], random: &mut Random) -> Self {
        let mut synced = HashMap::new();
        for (index, op) in ops.iter().enumerate() {
            if let Op::Sync { node, .. } = op {
                synced.insert(*node, index);
            }
        }
        let unit = if random.below(2) == 0 { SECTOR } else { 8 * SECTOR };
        let (rules, is_kept) = match random.below(2) {
            0 => ("names in order", in_order(ops, random)),
            _ => (NAMES_ONE_BY_ONE, each_by_itself(ops, random)),
        };
        let mut cut = Self { ops, unit, rules, synced, is_kept, kept: HashMap::new() };
        cut.choose(random);
        cut
    }

    fn is_synced(&self, index: usize, node: u64) -> bool {
        self.synced.get(&node).is_some_and(|sync| index < *sync)
    }

    /// Chooses, for each unit, after which of its unsynced writes it was put on the disk.
    fn choose(&mut self, random: &mut Random) {
        let mut written: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        for (index, op) in self.ops.iter().enumerate() {
            if let Op::Write { node, at, bytes } = op
                && !self.is_synced(index, *node)
            {
                for (unit, ..) in pieces(*at, bytes, self.unit) {
                    *written.entry((*node, unit)).or_default() += 1;
                }
            }
        }
        for (unit, count) in written {
            let kept = match random.below(3) {
                0 => 0,
                1 => count,
                _ => random.below(count + 1),
            };
            self.kept.insert(unit, (kept, 0));
        }
    }

    /// What is on the disk when the power is back.
    fn left(mut self, random: &mut Random) -> Tree {
        let mut tree = Tree::new();
        // As far as each file was written, kept or not.
        let mut grown: BTreeMap<u64, u64> = BTreeMap::new();
        for (index, op) in self.ops.iter().enumerate() {
            tree.make(op);
            match op {
                Op::Write { node, at, bytes } if !self.is_synced(index, *node) => {
                    for (unit, offset, piece) in pieces(*at, bytes, self.unit) {
                        let (kept, seen) = self.kept.get_mut(&(*node, unit)).expect("it was counted");
                        *seen += 1;
                        if seen <= kept {
                            tree.content(*node).expect("a file").write(offset, piece);
                        }
                    }
                    let end = grown.entry(*node).or_default();
                    *end = (*end).max(at + bytes.len() as u64);
                }
                Op::Write { .. } => tree.apply(op),
                Op::SetLength { node, .. } if self.is_kept[index] => {
                    grown.remove(node);
                    tree.apply(op);
                }
                _ if self.is_kept[index] => tree.apply(op),
                _ => {}
            }
        }
        for (node, end) in grown {
            if random.below(4) == 0 {
                let content = tree.content(node).expect("a file");
                content.length = content.length.max(end);
            }
        }
        tree
    }
}

/// The nodes that a change of names or lengths is about, and whether `fdatasync` of the first one covers it.
fn about(op: &Op) -> Option<(Vec<u64>, bool)> {
    match op {
        Op::Create { node, parent, .. } => Some((vec![*node, *parent], true)),
        Op::Remove { parent, .. } => Some((vec![*parent], true)),
        Op::Rename { node, from, to } => Some((vec![*node, from.0, to.0], false)),
        Op::SetLength { node, .. } => Some((vec![*node], true)),
        Op::Write { .. } | Op::Sync { .. } => None,
    }
}

/// A sync at `sync` covers the change at `index`.
fn covers(ops: &[Op], sync: usize, index: usize) -> bool {
    let (Op::Sync { node, is_data_only }, Some((nodes, data))) = (&ops[sync], about(&ops[index])) else { return false };
    index < sync && nodes.contains(node) && (data || !is_data_only || nodes[0] != *node)
}

/// A journal of changes: what was synced and everything before it, and some more.
fn in_order(ops: &[Op], random: &mut Random) -> Vec<bool> {
    let mut durable = 0;
    for (sync, op) in ops.iter().enumerate() {
        if let Op::Sync { .. } = op {
            let newest = (durable..sync).rev().find(|index| covers(ops, sync, *index));
            durable = newest.map_or(durable, |newest| newest + 1);
        }
    }
    let end = match random.below(3) {
        0 => durable,
        1 => ops.len(),
        _ => durable + random.index(ops.len() - durable + 1),
    };
    (0..ops.len()).map(|index| index < end).collect()
}

/// Every change that no sync covers by itself, whatever was before and after it.
fn each_by_itself(ops: &[Op], random: &mut Random) -> Vec<bool> {
    let mut syncs: HashMap<u64, Vec<usize>> = HashMap::new();
    for (index, op) in ops.iter().enumerate() {
        if let Op::Sync { node, .. } = op {
            syncs.entry(*node).or_default().push(index);
        }
    }
    let is_durable = |index: usize| {
        let (nodes, _) = about(&ops[index])?;
        let covered = |node: &u64| syncs.get(node)?.iter().rev().find(|sync| covers(ops, **sync, index));
        nodes.iter().find_map(covered)
    };
    (0..ops.len()).map(|index| is_durable(index).is_some() || random.below(2) == 0).collect()
}

/// What the disk was told, and what it holds.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) ops: Vec<Op>,
    tree: Tree,
    newest: u64,
}

impl Recording {
    /// What may be left if the power goes after the first `end` operations.
    /// With it, in words, which rules were taken.
    pub(crate) fn left_after(&self, end: usize, random: &mut Random) -> (Tree, &'static str) {
        let cut = Cut::new(&self.ops[..end], random);
        let rules = cut.rules;
        (cut.left(random), rules)
    }

    fn record(&mut self, op: Op) {
        self.tree.make(&op);
        self.tree.apply(&op);
        self.ops.push(op);
    }

    fn create(&mut self, parent: u64, name: &OsStr, is_folder: bool) -> FileAttr {
        self.newest += 1;
        let node = self.newest;
        self.record(Op::Create { node, parent, name: name.to_owned(), is_folder });
        self.attributes(node)
    }

    fn find(&mut self, parent: u64, name: &OsStr) -> Result<u64, Errno> {
        self.tree.names(parent).ok_or(Errno::ENOTDIR)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    fn attributes(&self, node: u64) -> FileAttr {
        let (kind, size) = match &self.tree.0[&node] {
            Node::Folder(_) => (FileType::Directory, 0),
            Node::File(content) => (FileType::RegularFile, content.length),
        };
        FileAttr {
            ino: INodeNo(node),
            size,
            blocks: size.div_ceil(SECTOR as u64),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: 0o755,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4_096,
            flags: 0,
        }
    }
}

/// The mounted disk.
pub(crate) struct Recorder {
    session: BackgroundSession,
    recording: Arc<Mutex<Recording>>,
}

impl Recorder {
    pub(crate) fn mount(at: &Path) -> std::io::Result<Self> {
        let recording = Arc::new(Mutex::new(Recording { ops: Vec::new(), tree: Tree::new(), newest: ROOT }));
        let session = fuser::spawn_mount(Server(recording.clone()), at, &Config::default())?;
        Ok(Self { session, recording })
    }

    /// Unmounts it.
    pub(crate) fn end(self) -> Recording {
        self.session.umount_and_join().unwrap();
        Arc::into_inner(self.recording).expect("the server has ended").into_inner().unwrap()
    }
}

struct Server(Arc<Mutex<Recording>>);

impl Server {
    fn get(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap()
    }
}

impl Filesystem for Server {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut recording = self.get();
        match recording.find(parent.0, name) {
            Ok(node) => reply.entry(&FOR_EVER, &recording.attributes(node), Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOR_EVER, &self.get().attributes(node.0));
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        length: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<std::time::SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<std::time::SystemTime>,
        _chgtime: Option<std::time::SystemTime>,
        _bkuptime: Option<std::time::SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut recording = self.get();
        if let Some(length) = length {
            recording.record(Op::SetLength { node: node.0, length });
        }
        reply.attr(&FOR_EVER, &recording.attributes(node.0));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        reply.entry(&FOR_EVER, &self.get().create(parent.0, name, true), Generation(0));
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let attributes = self.get().create(parent.0, name, false);
        reply.created(&FOR_EVER, &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.get().record(Op::Remove { parent: parent.0, name: name.to_owned() });
        reply.ok();
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut recording = self.get();
        let node = recording.find(parent.0, name);
        match node.map(|node| recording.tree.names(node).is_some_and(|names| names.is_empty())) {
            Ok(true) => {
                recording.record(Op::Remove { parent: parent.0, name: name.to_owned() });
                reply.ok();
            }
            Ok(false) => reply.error(Errno::ENOTEMPTY),
            Err(error) => reply.error(error),
        }
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut recording = self.get();
        match recording.find(parent.0, name) {
            Ok(node) => {
                let (from, to) = ((parent.0, name.to_owned()), (new_parent.0, new_name.to_owned()));
                recording.record(Op::Rename { node, from, to });
                reply.ok();
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        at: u64,
        length: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut recording = self.get();
        match recording.tree.content(node.0) {
            Some(content) => reply.data(&content.read(at, usize::try_from(length).unwrap())),
            None => reply.error(Errno::EISDIR),
        }
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        at: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.get().record(Op::Write { node: node.0, at, bytes: bytes.to_vec() });
        reply.written(u32::try_from(bytes.len()).unwrap());
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, node: INodeNo, _: FileHandle, is_data_only: bool, reply: ReplyEmpty) {
        self.get().record(Op::Sync { node: node.0, is_data_only });
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, node: INodeNo, _: FileHandle, is_data_only: bool, reply: ReplyEmpty) {
        self.get().record(Op::Sync { node: node.0, is_data_only });
        reply.ok();
    }

    fn readdir(&self, _: &Request, node: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let mut recording = self.get();
        let names = recording.tree.names(node.0).expect("a folder").clone();
        for (index, (name, node)) in (0..).zip(names).skip(usize::try_from(offset).unwrap()) {
            let kind = recording.attributes(node).kind;
            if reply.add(INodeNo(node), index + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        const BLOCKS: u64 = 1 << 30;
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, 4_096, 255, 4_096);
    }
}
