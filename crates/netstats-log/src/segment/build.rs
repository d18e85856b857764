//! From the records of a closed epoch to the bytes of a segment.

use std::collections::BTreeMap;

use netstats_event::{ChainHash, ColumnWriter, DestinationId, JobId, Record, SampleSummary, Timestamp, decode};

use super::column::put;
use super::format::{Extent, FORMAT, Footer, MARK_EVERY, PageEntry, SUMMARISED, header};
use super::page::OpenPage;
use crate::StoreId;

/// Job and destination, kind, version; and the form of the page.
type Group = (Option<(JobId, DestinationId)>, u16, u16, Form);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Columns,
    Payloads,
    Summaries,
}

/// A segment in the making. Records go in one by one; what is kept of them is about as large as the segment.
pub(crate) struct Builder {
    file: Vec<u8>,
    store: StoreId,
    first: u64,
    chain_before: ChainHash,
    /// After the last record that was taken; none if what is left of a sample came after it.
    chain: Option<ChainHash>,
    format: u32,
    entries: Vec<PageEntry>,
    /// The page of each record, by its number in `entries`.
    order: Vec<u32>,
    marks: Vec<u8>,
    open: BTreeMap<Group, (usize, OpenPage)>,
}

impl Builder {
    /// For the records from `first` on, which follow a record whose chain was `chain_before`.
    pub(crate) fn new(store: StoreId, first: u64, chain_before: ChainHash) -> Self {
        Self::of(FORMAT, store, first, chain_before)
    }

    /// The same for a segment that samples are summarised in.
    pub(crate) fn summarised(store: StoreId, first: u64, chain_before: ChainHash) -> Self {
        Self { chain: None, ..Self::of(SUMMARISED, store, first, chain_before) }
    }

    fn of(format: u32, store: StoreId, first: u64, chain_before: ChainHash) -> Self {
        Self {
            file: header(format).to_vec(),
            store,
            first,
            chain_before,
            chain: Some(chain_before),
            format,
            entries: Vec::new(),
            order: Vec::new(),
            marks: Vec::new(),
            open: BTreeMap::new(),
        }
    }

    /// Takes the next record.
    pub(crate) fn push(&mut self, record: &Record) {
        if let Some(chain) = self.chain.filter(|_| self.order.len().is_multiple_of(MARK_EVERY)) {
            self.marks.extend_from_slice(&chain.0);
        }
        self.push_page(record);
    }

    /// Takes the next record of a segment that samples are summarised in, before which the chain was `before`.
    pub(crate) fn push_kept(&mut self, record: &Record, before: ChainHash) {
        if self.chain.is_none() {
            self.marks.extend_from_slice(&before.0);
        }
        self.push_page(record);
    }

    /// Takes what is left of the next record.
    pub(crate) fn push_summary(&mut self, version: u16, recorded_at: Timestamp, left: &SampleSummary) {
        self.chain = None;
        let slot = left.head.slot_at.as_millis();
        let group = (Some((left.head.job, left.head.destination)), left.kind.code(), version, Form::Summaries);
        let number = self.put(group, slot, OpenPage::summaries, |page| page.push_summary(recorded_at, left));
        self.order_at(number.expect("summaries are taken as they are"));
    }

    fn push_page(&mut self, record: &Record) {
        self.chain = Some(record.chain);
        let event = decode(record.kind, record.version, &record.payload).ok();
        let head = event.as_ref().and_then(|event| event.head());
        let series = head.map(|head| (head.job, head.destination));
        let slot = head.map_or(record.recorded_at, |head| head.slot_at).as_millis();
        let writer = series.and_then(|_| ColumnWriter::of(record.kind, record.version));
        let mut group = (series, record.kind, record.version, Form::Columns);
        let number =
            writer.and_then(|writer| self.put(group, slot, || OpenPage::columns(writer), |page| page.push(record)));
        let number = number.unwrap_or_else(|| {
            group.3 = Form::Payloads;
            self.put(group, slot, OpenPage::payloads, |page| page.push(record)).expect("payloads are taken as they are")
        });
        self.order_at(number);
    }

    fn order_at(&mut self, number: usize) {
        self.order.push(u32::try_from(number).expect("at most as many pages as records"));
    }

    /// Puts a record, or what is left of one, into the open page of its group; the page's number, none if the page does
    /// not take it.
    fn put(
        &mut self,
        group: Group,
        slot: i64,
        fresh: impl FnOnce() -> OpenPage,
        push: impl FnOnce(&mut OpenPage) -> bool,
    ) -> Option<usize> {
        let at = u32::try_from(self.order.len()).expect("a segment is bounded");
        let (number, page) = self.open.entry(group).or_insert_with(|| (usize::MAX, fresh()));
        if !push(page) {
            if *number == usize::MAX {
                self.open.remove(&group);
            }
            return None;
        }
        if *number == usize::MAX {
            *number = self.entries.len();
            let (series, kind, version, form) = group;
            let (is_summary, extent) = (form == Form::Summaries, Extent::default());
            let (slots, at) = ((slot, slot), (at, at));
            self.entries.push(PageEntry { series, kind, version, is_summary, rows: 0, slots, at, extent });
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
    pub(crate) fn finish(self) -> Vec<u8> {
        let chain_after = self.chain.unwrap_or(self.chain_before);
        self.finish_at(chain_after)
    }

    /// The bytes of a segment after whose last record the chain was `chain_after`.
    pub(crate) fn finish_at(mut self, chain_after: ChainHash) -> Vec<u8> {
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
            chain_after,
            format: self.format,
            order,
            marks,
            index,
        };
        self.file.extend_from_slice(&footer.bytes());
        self.file
    }
}
