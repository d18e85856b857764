use crate::reply::Reply;
use crate::route::Call;
pub(crate) fn find(_: &Call) -> Option<Reply> {
    None
}
