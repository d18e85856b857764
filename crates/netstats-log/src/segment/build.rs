//! From the records of a closed epoch to the bytes of a segment.

use std::collections::BTreeMap;

use netstats_event::{ChainHash, ColumnWriter, DestinationId, JobId, Record, decode};

use super::column::put;
use super::format::{Extent, Footer, MARK_EVERY, PageEntry, header};
use super::page::OpenPage;
use crate::StoreId;

/// Job and destination, kind, version; and whether the page is in columns.
type Group = (Option<(JobId, DestinationId)>, u16, u16, bool);

/// A segment in the making. Records go in one by one; what is kept of them is about as large as the segment.
pub(crate) struct Builder {
    file: Vec<u8>,
    store: StoreId,
    first: u64,
    chain_before: ChainHash,
    chain: ChainHash,
    entries: Vec<PageEntry>,
    /// The page of each record, by its number in `entries`.
    order: Vec<u32>,
    marks: Vec<u8>,
    open: BTreeMap<Group, (usize, OpenPage)>,
}

impl Builder {
    /// For the records from `first` on, which follow a record whose chain was `chain_before`.
    pub(crate) fn new(store: StoreId, first: u64, chain_before: ChainHash) -> Self {
        Self {
            file: header().to_vec(),
            store,
            first,
            chain_before,
            chain: chain_before,
            entries: Vec::new(),
            order: Vec::new(),
            marks: Vec::new(),
            open: BTreeMap::new(),
        }
    }

    /// Takes the next record.
    pub(crate) fn push(&mut self, record: &Record) {
        if self.order.len().is_multiple_of(MARK_EVERY) {
            self.marks.extend_from_slice(&self.chain.0);
        }
        self.chain = record.chain;
        let event = decode(record.kind, record.version, &record.payload).ok();
        let head = event.as_ref().and_then(|event| event.head());
        let series = head.map(|head| (head.job, head.destination));
        let slot = head.map_or(record.recorded_at, |head| head.slot_at).as_millis();
        let writer = series.and_then(|_| ColumnWriter::of(record.kind, record.version));
        let mut group = (series, record.kind, record.version, true);
        let number = writer.and_then(|writer| self.put(group, record, slot, || OpenPage::columns(writer)));
        let number = number.unwrap_or_else(|| {
            group.3 = false;
            self.put(group, record, slot, OpenPage::payloads).expect("payloads are taken as they are")
        });
        self.order.push(u32::try_from(number).expect("at most as many pages as records"));
    }

    /// Puts a record into the open page of its group; the page's number, none if the page does not take it.
    fn put(&mut self, group: Group, record: &Record, slot: i64, fresh: impl FnOnce() -> OpenPage) -> Option<usize> {
        let at = u32::try_from(self.order.len()).expect("a segment is bounded");
        let (number, page) = self.open.entry(group).or_insert_with(|| (usize::MAX, fresh()));
        if !page.push(record) {
            if *number == usize::MAX {
                self.open.remove(&group);
            }
            return None;
        }
        if *number == usize::MAX {
            *number = self.entries.len();
            let (series, kind, version, _) = group;
            let extent = Extent::default();
            self.entries.push(PageEntry { series, kind, version, rows: 0, slots: (slot, slot), at: (at, at), extent });
        }
        let number = *number;
        let entry = &mut self.entries[number];
        entry.rows += 1;
        entry.slots = (entry.slots.0.min(slot), entry.slots.1.max(slot));
        entry.at.1 = at;
        if page.is_full() {
            entry.extent = Extent::append(&page.encode(), &mut self.file);
            self.open.remove(&group);
        }
        Some(number)
    }

    /// The segment's bytes.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        for (number, page) in self.open.values() {
            self.entries[*number].extent = Extent::append(&page.encode(), &mut self.file);
        }
        let mut part = Vec::new();
        put(&self.order, &mut part);
        let order = Extent::append(&part, &mut self.file);
        let marks = Extent::append(&self.marks, &mut self.file);
        part.clear();
        self.entries.iter().for_each(|entry| entry.put(&mut part));
        let index = Extent::append(&part, &mut self.file);
        let footer = Footer {
            store: self.store,
            first: self.first,
            events: self.order.len() as u64,
            chain_before: self.chain_before,
            chain_after: self.chain,
            order,
            marks,
            index,
        };
        self.file.extend_from_slice(&footer.bytes());
        self.file
    }
}
