//! Servers between the daemon and the demo server: a TLS server with the certificate of a private
//! authority, and an HTTP proxy.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use meetfs::demo_cloud::DemoCloud;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// Serves the API of a demo server with TLS.
pub struct TlsServer {
    /// The base URL of the API.
    pub url: String,
    pub address: SocketAddr,
    /// The certificate of the authority in PEM format.
    pub authority: String,
    _runtime: Runtime,
}

impl TlsServer {
    pub fn start(cloud: &DemoCloud) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let private_key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let configuration = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private_key)
            .expect("a configuration");
        let acceptor = TlsAcceptor::from(Arc::new(configuration));
        let upstream = address_of(&cloud.api_url());
        let (runtime, listener) = listen();
        let address = listener.local_addr().expect("an address");
        let url = format!("https://{address}{}", path_of(&cloud.api_url()));
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust the certificate ends the connection.
                    let Ok(client) = acceptor.accept(client).await else { return };
                    if let Ok(server) = TcpStream::connect(upstream).await {
                        relay(client, server).await;
                    }
                });
            }
        });
        Self { url, address, authority: authority.pem(), _runtime: runtime }
    }
}

/// An HTTP proxy that relays connections for the method `CONNECT`.
pub struct Proxy {
    pub address: SocketAddr,
    /// The heads of the requests.
    heads: Arc<Mutex<Vec<String>>>,
    _runtime: Runtime,
}

impl Proxy {
    /// Starts a proxy, which requires the `Proxy-Authorization` of `credentials` if there are any.
    pub fn start(authorization: Option<&str>) -> Self {
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (runtime, listener) = listen();
        let address = listener.local_addr().expect("an address");
        let log = heads.clone();
        let required_line = authorization.map(|value| format!("proxy-authorization: {value}"));
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (log, required_line) = (log.clone(), required_line.clone());
                tokio::spawn(async move {
                    let mut client = BufReader::new(client);
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        if client.read_line(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let is_allowed = required_line
                        .is_none_or(|line| head.lines().any(|it| it.eq_ignore_ascii_case(&line)));
                    let target =
                        head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
                    let target = target.and_then(|target| target.parse::<SocketAddr>().ok());
                    log.lock().push(head);
                    let reply = match (is_allowed, target) {
                        (false, _) => "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
                        (true, None) => "HTTP/1.1 400 Bad Request\r\n\r\n",
                        (true, Some(_)) => "HTTP/1.1 200 OK\r\n\r\n",
                    };
                    let _ = client.write_all(reply.as_bytes()).await;
                    if let Some(target) = target.filter(|_| is_allowed)
                        && let Ok(server) = TcpStream::connect(target).await
                    {
                        relay(client, server).await;
                    }
                });
            }
        });
        Self { address, heads, _runtime: runtime }
    }

    /// Returns the heads of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }
}

fn listen() -> (Runtime, TcpListener) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a port");
    (runtime, listener)
}

fn address_of(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").split('/').next().and_then(|it| it.parse().ok()).expect(url)
}

fn path_of(url: &str) -> &str {
    let (_, address_and_path) = url.split_once("://").expect(url);
    address_and_path.find('/').map_or("", |start| &address_and_path[start..])
}

async fn relay(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    mut server: impl AsyncRead + AsyncWrite + Unpin,
) {
    // An error ends the connection, as its end does.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
