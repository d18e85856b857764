//! placeholder
use crate::*;
pub(crate) fn encode(_event: &Event, _recorded_at: Timestamp) -> Result<Draft, EncodeError> {
    unimplemented!()
}
pub(crate) fn decode(_kind: u16, _version: u16, _payload: &[u8]) -> Result<Event, DecodeError> {
    unimplemented!()
}
