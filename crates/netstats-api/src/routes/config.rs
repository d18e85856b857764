//! The config file.

use std::sync::Arc;

use crate::app::App;
use crate::command::blocking;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::Call;

/// `POST /api/config/reload`
pub(crate) async fn reload(app: Arc<App>, _: Call) -> Result<Reply, Problem> {
    let Some(hook) = app.context.reload.clone() else {
        return Err(Problem::not_found("this server was started without a config file"));
    };
    match blocking(move || hook()).await? {
        Ok(reloaded) => Ok(Reply::json(&reloaded)),
        Err(refused) => {
            let mut problem =
                Problem::invalid(format!("the config file was not taken, the old config stays: {}", refused.message));
            problem.accepted = refused.accepted;
            problem.hint = refused.hint;
            Err(problem)
        }
    }
}
