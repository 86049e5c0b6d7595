//! bench/server/peers/fastwebsockets: fastwebsockets on tokio, one thread: `fastwebsockets PORT MODE [CERT KEY]`. It does
//! not compress.
use fastwebsockets::{upgrade, FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError, WebSocketWrite};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, WriteHalf};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

type Writer = Rc<Mutex<WebSocketWrite<WriteHalf<TokioIo<Upgraded>>>>>;
type Everyone = Rc<RefCell<Vec<Writer>>>;
const MOST: usize = 16 << 20;

async fn echo(socket: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut ws = socket.await?;
    ws.set_max_message_size(MOST);
    let mut ws = FragmentCollector::new(ws);
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn to_all(socket: upgrade::UpgradeFut, everyone: Everyone) -> Result<(), WebSocketError> {
    let (read, write) = socket.await?.split(tokio::io::split);
    let mut read = FragmentCollectorRead::new(read);
    let me = Rc::new(Mutex::new(write));
    everyone.borrow_mut().push(me.clone());
    loop {
        let frame = read.read_frame::<_, WebSocketError>(&mut |_| async { Ok(()) }).await;
        match frame {
            Ok(frame) if frame.opcode == OpCode::Text || frame.opcode == OpCode::Binary => {
                let all = everyone.borrow().clone();
                for other in all {
                    let copy = Frame::new(true, frame.opcode, None, Payload::Borrowed(&frame.payload));
                    let _ = other.lock().await.write_frame(copy).await;
                }
            }
            Ok(frame) if frame.opcode != OpCode::Close => {}
            _ => break,
        }
    }
    everyone.borrow_mut().retain(|other| !Rc::ptr_eq(other, &me));
    Ok(())
}

async fn open(mut request: Request<Incoming>, everyone: Option<Everyone>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, socket) = upgrade::upgrade(&mut request)?;
    tokio::task::spawn_local(tokio::task::unconstrained(async move {
        // A client that goes without a word is no news here.
        let _ = match everyone {
            Some(everyone) => to_all(socket, everyone).await,
            None => echo(socket).await,
        };
    }));
    Ok(response)
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, everyone: Option<Everyone>) {
    let service = service_fn(move |request| open(request, everyone.clone()));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

fn listen(port: u16) -> Result<TcpListener, Box<dyn Error>> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(std::env::var_os("BENCH_REUSEPORT").is_some())?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    socket.listen(4096)?;
    Ok(TcpListener::from_std(socket.into())?)
}

fn acceptor(cert: &str, key: &str) -> Result<TlsAcceptor, Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>()?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn run(arguments: Vec<String>) -> Result<(), Box<dyn Error>> {
    let listener = listen(arguments[1].parse()?)?;
    let tls = if arguments[2] == "tls" { Some(acceptor(&arguments[3], &arguments[4])?) } else { None };
    let everyone = (arguments[2] == "broadcast").then(Everyone::default);
    println!("ready");
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, everyone) = (tls.clone(), everyone.clone());
        tokio::task::spawn_local(async move {
            match tls {
                None => serve(stream, everyone).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, everyone).await
                    }
                }
            }
        });
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.len() < 3 {
        return Err("usage: fastwebsockets PORT MODE [CERT KEY]".into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, run(arguments))
}
