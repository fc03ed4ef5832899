//! HTTP before the store, with the faults of the way.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, LOCATION};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::RwLock;
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tokio::time::sleep;

use super::body::{Shape, Shaped};
use super::disk::{Disk, Guard};
use super::{Fault, State};

struct Server {
    service: S3Service,
    root: PathBuf,
    state: Arc<State>,
}

/// Starts a thread that serves the buckets below `root`.
pub(crate) fn start(root: &Path, state: Arc<State>) -> (SocketAddr, JoinHandle<()>) {
    // It keeps the port while nobody listens: another test's server must not answer in the bucket's place.
    let kept = socket(([127, 0, 0, 1], 0).into());
    let address = kept.local_addr().unwrap().as_socket().unwrap();
    let listener = listen(address);
    let root = root.to_owned();
    let disk = Disk {
        files: FileSystem::new(&root).unwrap(),
        root: root.clone(),
        state: state.clone(),
        lock: RwLock::default(),
    };
    let mut builder = S3ServiceBuilder::new(disk);
    builder.set_auth(Guard(state.clone()));
    let server = Server { service: builder.build(), root, state };
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, accept(listener, Rc::new(server)));
        drop(kept);
        runtime.shutdown_background();
    };
    (address, std::thread::Builder::new().name("bucket".into()).spawn(run).unwrap())
}

/// A socket at an address that it may share with others of this kind.
fn socket(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

fn listen(address: SocketAddr) -> std::net::TcpListener {
    let socket = socket(address);
    socket.listen(1024).unwrap();
    socket.into()
}

async fn accept(listener: std::net::TcpListener, server: Rc<Server>) {
    let address = listener.local_addr().unwrap();
    let state = server.state.clone();
    let mut listener = Some(TcpListener::from_std(listener).unwrap());
    let mut connections: Vec<AbortHandle> = Vec::new();
    while !state.ended.load(Ordering::SeqCst) {
        if state.down.load(Ordering::SeqCst) {
            listener = None;
            connections.drain(..).for_each(|connection| connection.abort());
            state.changed.notified().await;
            continue;
        }
        let listening = listener.get_or_insert_with(|| TcpListener::from_std(listen(address)).unwrap());
        tokio::select! {
            accepted = listening.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let server = server.clone();
                let connection = spawn_local(async move {
                    let service = service_fn(|request| server.answer(request));
                    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                });
                connections.push(connection.abort_handle());
            }
            () = state.changed.notified() => {}
        }
    }
}

// === impl Server ===

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Shaped>> {
        let key = request.uri().path().trim_start_matches('/').to_owned();
        let noted = super::Request {
            method: request.method().to_string(),
            target: request.uri().to_string(),
            range: request.headers().get("range").and_then(|range| range.to_str().ok()).map(str::to_owned),
            headers: request
                .headers()
                .iter()
                .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
                .collect(),
        };
        let is_head = noted.method == "HEAD";
        let fault = self.state.fault_for(noted);
        match &fault {
            Some(Fault::Answer(status, code)) => return Ok(self.refusal(*status, code, None, is_head)),
            Some(Fault::Redirect(to)) => {
                return Ok(self.refusal(307, "TemporaryRedirect", Some(to), is_head));
            }
            Some(Fault::Delay(delay)) => sleep(*delay).await,
            _ => {}
        }
        let answer = self.service.call(request.map(s3s::Body::from)).await;
        let mut answer = answer.map_err(|_| io::Error::other("s3s"))?;
        let shape = match &fault {
            Some(Fault::LostReply) => return Err(io::Error::other("lost")),
            Some(Fault::Cut(at)) => Shape::Cut(*at),
            Some(Fault::Stall(at)) => Shape::Stall(*at),
            Some(Fault::Trickle(rate)) => Shape::Trickle(*rate),
            Some(Fault::Length(more)) => {
                let length = answer
                    .headers()
                    .get(CONTENT_LENGTH)
                    .and_then(|length| length.to_str().ok()?.parse().ok());
                let length: i64 = length.unwrap_or_default();
                answer.headers_mut().insert(CONTENT_LENGTH, (length + more).into());
                Shape::Whole
            }
            Some(Fault::Replace(bytes)) => {
                // As a store does it: who reads the old one goes on with the old one.
                let new = self.root.join(".replacement");
                std::fs::write(&new, bytes)?;
                std::fs::rename(new, self.root.join(&key))?;
                Shape::Whole
            }
            _ => Shape::Whole,
        };
        Ok(answer.map(|body| Shaped::new(body, self.state.clone(), shape)))
    }

    fn refusal(&self, status: u16, code: &str, to: Option<&str>, is_head: bool) -> Response<Shaped> {
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>as asked</Message></Error>"
        );
        let body = if is_head { s3s::Body::empty() } else { s3s::Body::from(xml) };
        let mut answer = Response::new(Shaped::new(body, self.state.clone(), Shape::Whole));
        *answer.status_mut() = status.try_into().unwrap();
        if let Some(to) = to {
            answer.headers_mut().insert(LOCATION, to.parse().unwrap());
        }
        answer
    }
}
