//! The negative control of the desync campaign: a server that is misled by everything. It takes any empty line for the end
//! of a request and knows of no body, so that whatever is hidden gets an answer. The campaign must see that.

use std::net::SocketAddr;
use std::sync::Arc;

use sekisho_adapters::certs::{ALPN_H1, Validity, server_config};
use sekisho_tests::town::Town;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Starts it, with a certificate of the town's authority; it stops with the test's runtime.
pub async fn start(town: &Town) -> SocketAddr {
    let now_ms = town.clock.now().unwrap().millis();
    let identity = town.world.ca.server(Validity::around(now_ms)).unwrap();
    let tls = server_config(identity.chain(), identity.key(), None, false, ALPN_H1).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(acceptor.clone(), tcp));
        }
    });
    address
}

async fn serve(acceptor: TlsAcceptor, tcp: TcpStream) {
    let Ok(mut stream) = acceptor.accept(tcp).await else { return };
    let (mut read, mut piece) = (Vec::new(), [0; 16 << 10]);
    while let Ok(n) = stream.read(&mut piece).await
        && n > 0
    {
        read.extend_from_slice(&piece[..n]);
        while let Some(at) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..at]).into_owned();
            read.drain(..at + 4);
            let body = format!("answer to {}", head.lines().next().unwrap_or_default());
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(text.as_bytes()).await;
            if head.contains("Connection: close") {
                let _ = stream.shutdown().await;
                return;
            }
        }
    }
}
