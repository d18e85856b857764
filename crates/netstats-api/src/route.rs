//! One table of routes. The routing table of tide is filled from it, and so are `Allow`, the nearest path of a 404, the
//! OpenAPI document and the tests that walk every route. What holds for all routes is done here, around the handler.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use hyper::header::{ALLOW, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};
use netstats_event::Role;
use utoipa::ToSchema;

use crate::context::Clock;
use crate::declare::{About, Access, CURSOR, FIELDS, Gives, Param, ParamKind, REASON, Shape, param};
use crate::finish::Finish;
use crate::path::Query;
use crate::problem::Problem;
use crate::repeat::{First, Repeats};
use crate::reply::Reply;
use crate::who::Who;

/// What came in, checked and decoded. It travels through tide as an extension: no remote header byte reaches
/// http-types.
///
/// In a box: it is handed on several times for each request.
pub(crate) type Call = Box<Asked>;

/// See [`Call`].
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// The raw path; checked, see [`crate::path::check_path`].
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The `:id` of the path, decoded.
    pub(crate) id: String,
    /// Whose request it is.
    pub(crate) who: Who,
}

pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Reply, Problem>> + Send>>;

/// One method of one path, and what it says of itself.
pub(crate) struct Route<S> {
    pub(crate) method: Method,
    /// In tide's words: `/api/jobs/:id`.
    pub(crate) path: &'static str,
    /// Content types that a body may have.
    pub(crate) takes: &'static [&'static str],
    pub(crate) access: Access,
    pub(crate) query: Vec<Param>,
    /// Names of those without which there is nothing to answer; the handler says so.
    pub(crate) required: &'static [&'static str],
    /// `fields=` picks among the fields of its JSON.
    pub(crate) is_selectable: bool,
    pub(crate) about: About,
    pub(crate) run: Box<dyn Fn(Arc<S>, Call) -> Answer + Send + Sync>,
}

/// A route with a JSON body or none. Unless it says otherwise, looking needs a viewer and everything else an operator.
pub(crate) fn route<S, F>(
    method: Method,
    path: &'static str,
    run: impl Fn(Arc<S>, Call) -> F + Send + Sync + 'static,
) -> Route<S>
where
    F: Future<Output = Result<Reply, Problem>> + Send + 'static,
{
    let is_look = method == Method::GET;
    Route {
        path,
        takes: &["application/json"],
        access: Access::Needs(if is_look { Role::Viewer } else { Role::Operator }),
        query: if is_look { Vec::new() } else { vec![REASON] },
        is_selectable: false,
        required: &[],
        about: About {
            tag: "",
            summary: "",
            reads: None,
            is_body_optional: false,
            status: StatusCode::OK,
            gives: Gives::Nothing,
            or_gives: &[],
            refuses_as: None,
        },
        run: Box::new(move |state, call| Box::pin(run(state, call))),
        method,
    }
}

/// What a route says of itself.
impl<S> Route<S> {
    /// Its resource, and in a sentence without a full stop what it does.
    pub(crate) fn says(mut self, tag: &'static str, summary: &'static str) -> Self {
        (self.about.tag, self.about.summary) = (tag, summary);
        self
    }

    /// With other content types than JSON.
    pub(crate) fn taking(mut self, takes: &'static [&'static str]) -> Self {
        self.takes = takes;
        self
    }

    /// For this role and higher ones only.
    pub(crate) fn needs(mut self, role: Role) -> Self {
        self.access = Access::Needs(role);
        self
    }

    /// For everybody who comes through the door.
    pub(crate) fn for_everybody(mut self) -> Self {
        self.access = Access::Everybody;
        self
    }

    /// Query parameters that it takes besides those of its kind.
    pub(crate) fn query(mut self, params: &[Param]) -> Self {
        self.query.extend_from_slice(params);
        self
    }

    /// Its answer goes by pages of at most `most` entries: `limit`, `cursor`, and a `Link` to the next.
    pub(crate) fn paged(mut self, most: u64) -> Self {
        let limit = param("limit", ParamKind::Whole(1, most), "Entries of one page");
        self.query.extend([limit, CURSOR]);
        self
    }

    /// `fields=` picks among the fields of its JSON.
    pub(crate) fn selectable(mut self) -> Self {
        self.is_selectable = true;
        self.query.push(FIELDS);
        self
    }

    /// Parameters that it cannot do without.
    pub(crate) fn requires(mut self, names: &'static [&'static str]) -> Self {
        self.required = names;
        self
    }

    /// It reads a body of this shape, if there is one.
    pub(crate) fn reads_if_any<T: ToSchema>(mut self) -> Self {
        self.about.is_body_optional = true;
        self.reads::<T>()
    }

    /// It reads a body of this shape.
    pub(crate) fn reads<T: ToSchema>(mut self) -> Self {
        self.about.reads = Some(Shape::of::<T>());
        self
    }

    /// It gives JSON of this shape.
    pub(crate) fn gives<T: ToSchema>(mut self) -> Self {
        self.about.gives = Gives::Json(Shape::of::<T>());
        self
    }

    /// It gives something else than JSON.
    #[allow(dead_code, reason = "what routes may choose from")]
    pub(crate) fn gives_other(mut self, content_type: &'static str) -> Self {
        self.about.gives = Gives::Other(content_type);
        self
    }

    /// Or one of these content types.
    pub(crate) fn or_gives(mut self, content_types: &'static [&'static str]) -> Self {
        self.about.or_gives = content_types;
        self
    }

    /// Its own refusals have this shape; those of the door still have ours.
    pub(crate) fn refuses_as<T: ToSchema>(mut self) -> Self {
        self.about.refuses_as = Some(Shape::of::<T>());
        self
    }

    /// It answers with another status than 200.
    pub(crate) fn answers(mut self, status: StatusCode) -> Self {
        self.about.status = status;
        self
    }

    /// The request is one that this route takes: the role, the parameters, the body's type.
    fn admit(&self, call: &Call) -> Result<(), Problem> {
        call.who.may(self.access)?;
        call.query.only(&self.query)?;
        check_content_type(call, self.takes)
    }
}

/// The routes and what answers where there is none.
pub(crate) struct Table<S> {
    routes: Vec<Arc<Route<S>>>,
    /// Answers for paths that are not in the table: the UI's files.
    assets: fn(&Call) -> Option<Reply>,
}

impl<S: Send + Sync + 'static> Table<S> {
    pub(crate) fn new(routes: Vec<Route<S>>, assets: fn(&Call) -> Option<Reply>) -> Self {
        Self { routes: routes.into_iter().map(Arc::new).collect(), assets }
    }

    /// All routes, for tests and documents that must not miss one.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route<S>> {
        self.routes.iter().map(|route| &**route)
    }

    fn at<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Arc<Route<S>>> {
        self.routes.iter().filter(move |route| matches(route.path, path))
    }

    /// `GET, HEAD, OPTIONS, POST`; none where the path is nobody's.
    fn allow(&self, path: &str) -> Option<HeaderValue> {
        let mut methods: Vec<&str> = self.at(path).map(|route| route.method.as_str()).collect();
        if methods.is_empty() {
            return None;
        }
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        methods.sort_unstable();
        methods.dedup();
        HeaderValue::from_str(&methods.join(", ")).ok()
    }

    /// What answers when no route of the method and path is there: OPTIONS, 405, the UI's files, 404.
    fn otherwise(&self, call: &Call) -> Result<Reply, Problem> {
        if let Some(allow) = self.allow(&call.path) {
            if call.method == Method::OPTIONS {
                return Ok(Reply::new(StatusCode::NO_CONTENT).header(ALLOW, allow));
            }
            let text = allow.to_str().unwrap_or_default().to_owned();
            return Err(Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                format!("{} does not take {}", call.path, call.method),
            )
            .accepted(text)
            .header(ALLOW, allow));
        }
        if let Some(reply) = (self.assets)(call) {
            const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
            return match call.method {
                Method::GET => Ok(reply),
                Method::OPTIONS => Ok(Reply::new(StatusCode::NO_CONTENT).header(ALLOW, ALLOWED)),
                _ => Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "a file is only read")
                    .accepted("GET, HEAD, OPTIONS")
                    .header(ALLOW, ALLOWED)),
            };
        }
        let problem = Problem::not_found(format!("there is nothing at {}", call.path));
        Err(crate::nearest::hint(problem, &call.path, self.routes.iter().map(|route| route.path)))
    }

    /// Fills tide's routing table.
    pub(crate) fn mount(self: Arc<Self>, state: Arc<S>, clock: Clock) -> tide::Server<()> {
        let repeats = Arc::new(Repeats::new(clock));
        let mut app = tide::new();
        for route in &self.routes {
            let (route, state, repeats) = (route.clone(), state.clone(), repeats.clone());
            let method = route.method.as_str().parse().expect("the methods of our routes are known to http-types");
            app.at(route.path).method(method, move |request: tide::Request<()>| {
                let (route, state, repeats) = (route.clone(), state.clone(), repeats.clone());
                async move { Ok(carry(run(&route, state, &repeats, request).await)) }
            });
        }
        for path in ["/", "*"] {
            let table = self.clone();
            app.at(path).all(move |mut request: tide::Request<()>| {
                let reply = take(&mut request).and_then(|call| table.otherwise(&call));
                async move { Ok(carry(reply)) }
            });
        }
        app
    }
}

async fn run<S>(
    route: &Route<S>,
    state: Arc<S>,
    repeats: &Arc<Repeats>,
    mut request: tide::Request<()>,
) -> Result<Reply, Problem> {
    let mut call = take(&mut request)?;
    if let Ok(raw) = request.param("id") {
        call.id = crate::path::decode(raw, false).map_err(|why| Problem::malformed(format!("the path {why}")))?;
    }
    route.admit(&call)?;
    let turn = match repeats.look_up(&call)? {
        First::Plain => None,
        First::Keyed(turn) => Some(turn),
        First::Known(reply) => return Ok(reply),
    };
    let finish = Finish::of(&call, route.is_selectable);
    match caught((route.run)(state, call)).await {
        Ok(result) => {
            let reply = finish.apply(result?)?;
            if let Some(turn) = turn {
                turn.done(&reply);
            }
            Ok(reply)
        }
        Err(panic) => Err(Problem::internal().because(format!("panic: {}", text_of(panic.as_ref())))),
    }
}

/// The handler's answer, or what it panicked with: a fault of one handler is one client's 500.
async fn caught(mut answer: Answer) -> Result<Result<Reply, Problem>, Box<dyn Any + Send>> {
    // The future is dropped right after a panic; what it shares with others is behind locks that tell.
    poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("?")
}

/// A body says that it is of a type the route takes. A form of a foreign page cannot say so without asking first
/// (CORS preflight), which nobody here answers.
fn check_content_type(call: &Call, takes: &'static [&'static str]) -> Result<(), Problem> {
    let given = match call.headers.get(hyper::header::CONTENT_TYPE) {
        None if call.body.is_empty() => return Ok(()),
        None => "",
        Some(value) => value.to_str().unwrap_or_default(),
    };
    let mime = given.split(';').next().unwrap_or_default().trim();
    if call.method == Method::GET || takes.iter().any(|taken| mime.eq_ignore_ascii_case(taken)) {
        return Ok(());
    }
    let accepted = takes.join(", ");
    let hint = format!("send the header Content-Type: {} (in Python: requests.post(url, json=...))", takes[0]);
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "content-type",
        format!("the body is said to be {:?}", mime.chars().take(80).collect::<String>()),
    )
    .field("content-type")
    .accepted(accepted)
    .hint(hint))
}

fn take(request: &mut tide::Request<()>) -> Result<Call, Problem> {
    request.ext_mut::<Option<Call>>().and_then(Option::take).ok_or_else(Problem::internal)
}

/// What travels back through tide as an extension of its response.
pub(crate) struct Carried(pub(crate) Result<Reply, Problem>);

fn carry(reply: Result<Reply, Problem>) -> tide::Response {
    let mut response = tide::Response::new(200);
    response.insert_ext(std::sync::Mutex::new(Some(Carried(reply))));
    response
}

pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(p), Some(s)) if p == s || (p.starts_with(':') && !s.is_empty()) => {}
            _ => return false,
        }
    }
}
