//! Transport certificates of nodes: made at enrolment, and anew for the key that a connection has proved. What was issued
//! is in the log before the node has it.

use super::carrier::{AGAIN, Judgement, TAKEN, refused};
use super::link::{CERTIFICATE_DAYS, Line, LinkProblem};
use super::manager::Manager;
use super::transport::Transport;
use crate::channel::is_of_node;
use crate::core::Refusal;
use crate::core::input::Input;
use crate::house::{AuthorityError, certificate_end, certificate_issuer};
use crate::person::spki_digest;
use crate::writer::SubmitError;
use keylink::envelope::Signed;
use keylink::message::{Audience, CERTIFICATE_RENEW_MS, Head, Renew, Renewed};
use keylink::wire::Blob;
use keylink::{Digest, NodeId, PublicKey};
use std::sync::Arc;

impl Manager {
    /// A node wants its certificate made anew.
    pub async fn renew(&self, line: Line, body: &[u8]) -> Result<Vec<u8>, LinkProblem> {
        let (kmc, now) = (self.kmc()?, self.now().utc_ms);
        let signed = Signed::parse(body)?;
        let claimed: Renew = signed.peek()?;
        line.carries(claimed.node)?;
        self.listen(line.node, 0)?;
        let found = self.view(|core| Some((core.node(&line.node)?.clone(), core.epoch())));
        let (node, epoch) = found.ok_or(LinkProblem::Unknown)?;
        let asked: Renew = signed.open(&node.link.key)?;
        asked.head.judge(kmc, Audience::Kmc, 1, now)?;
        if !node.is_served() {
            return Err(LinkProblem::Refused(SubmitError::Refused(Refusal::Suspended)));
        }
        let transport = self.transport()?;
        // By the one in use: an answer may have been lost.
        if transport.is_of_issuer(line.authority)
            && line.until_utc_ms.saturating_sub(now) > CERTIFICATE_RENEW_MS
        {
            return Err(LinkProblem::Early);
        }
        let certificate = issue_certificate(&transport, asked.csr.0, line.node, now).await?;
        if spki_digest(&certificate) != Some(line.channel) {
            return Err(LinkProblem::Key);
        }
        self.certified(line.node, &transport, &certificate).await?;
        let head = self.head(kmc, line.node, epoch, 0, now);
        Ok(self.answer_to(&signed, head, &transport, certificate).await?.to_bytes())
    }

    async fn answer_to(
        &self,
        request: &Signed,
        head: Head,
        transport: &Transport,
        certificate: Vec<u8>,
    ) -> Result<Signed, LinkProblem> {
        let authority = transport.authority().certificate().to_vec();
        let certificates = vec![Blob(certificate), Blob(authority)];
        let renewed = Renewed { head, request: request.hash(), certificates };
        Ok(self.sign(&renewed).await?)
    }

    /// The same in a parcel: the certificate in use is in it, and its key has signed the request, so that nothing rests
    /// on who brings it. The answer goes along with the next mail. One of the authority that issues, and not near its end,
    /// is only shown. One of an authority that counts no more opens no connection, but this: the node has signed the
    /// request by the key that it is known by.
    pub(super) async fn renew_by_parcel(
        &self,
        node: NodeId,
        signed: &Signed,
    ) -> Result<Judgement, LinkProblem> {
        let (kmc, now) = (self.kmc()?, self.now().utc_ms);
        let found = self.view(|core| Some((core.node(&node)?.clone(), core.epoch())));
        let (record, epoch) = found.ok_or(LinkProblem::Unknown)?;
        let asked: Renew = match signed.open(&record.link.key) {
            Ok(asked) => asked,
            Err(error) => return Ok(refused("message", error)),
        };
        if let Err(error) = asked.head.judge(kmc, Audience::Kmc, 1, now) {
            return Ok(refused("message", error));
        }
        let transport = self.transport()?;
        let in_use = asked.certificate.as_ref().map(|der| der.0.as_slice()).unwrap_or_default();
        if !is_of_node(&transport.ever(), in_use, node, now) {
            return Ok(refused("other_key", "the certificate in use is not this node's, or not valid"));
        }
        let by = certificate_issuer(in_use).unwrap_or_default();
        let until_ms = certificate_end(in_use).unwrap_or(0);
        if transport.is_of_issuer(by) && until_ms.saturating_sub(now) > CERTIFICATE_RENEW_MS {
            return self.shown_by_parcel(node, (by, until_ms)).await;
        }
        // Brought again.
        if self.0.renewals.answers(node, signed.hash()) {
            return Ok(AGAIN);
        }
        if !record.is_served() {
            return Ok(refused(Refusal::Suspended.code(), Refusal::Suspended));
        }
        let fresh = match issue_certificate(&transport, asked.csr.0, node, now).await {
            Ok(fresh) if spki_digest(&fresh) == spki_digest(in_use) => fresh,
            Ok(_) | Err(LinkProblem::Key) => {
                return Ok(refused("other_key", "the request is not for the key in use"));
            }
            Err(problem) => return Err(problem),
        };
        self.certified(node, &transport, &fresh).await?;
        let made = (transport.authority().key(), certificate_end(&fresh).unwrap_or(0));
        let answer = self.answer_to(signed, self.head(kmc, node, epoch, 0, now), &transport, fresh).await?;
        self.0.renewals.keep(node, signed.hash(), made, answer);
        self.0.mail.ring(node);
        Ok(TAKEN)
    }

    async fn shown_by_parcel(
        &self,
        node: NodeId,
        (authority, until_utc_ms): (PublicKey, u64),
    ) -> Result<Judgement, LinkProblem> {
        self.0.renewals.shown(node, (authority, until_utc_ms));
        match self.submit(None, Input::CertificateShown { node, authority, until_utc_ms }).await {
            Ok(_) => Ok(TAKEN),
            Err(SubmitError::Refused(Refusal::NotDue)) => Ok(AGAIN),
            Err(problem) => Err(problem.into()),
        }
    }

    // Written before the node has it.
    pub(super) async fn certified(
        &self,
        node: NodeId,
        transport: &Transport,
        certificate: &[u8],
    ) -> Result<(), LinkProblem> {
        let until_utc_ms = certificate_end(certificate).unwrap_or(0);
        let (certificate, authority) = (Digest::of(certificate), transport.authority().key());
        self.submit(None, Input::Certified { node, certificate, authority, until_utc_ms }).await?;
        Ok(())
    }

    // What a node has is what it shows. A request of another connection may have said the same.
    pub(super) async fn note_certificate(&self, line: Line) {
        let Line { node, authority, until_utc_ms, .. } = line;
        if self.view(|core| core.is_certificate_news(&node, (authority, until_utc_ms))) {
            let _ = self.submit(None, Input::CertificateShown { node, authority, until_utc_ms }).await;
        }
    }
}

/// A certificate for the key of a request, made where nobody else has to wait for the signature.
pub(super) async fn issue_certificate(
    transport: &Arc<Transport>,
    csr: Vec<u8>,
    node: NodeId,
    now: u64,
) -> Result<Vec<u8>, LinkProblem> {
    let of = Arc::clone(transport);
    let work = move || of.authority().certify(&csr, &node.to_string(), now, CERTIFICATE_DAYS);
    let issued = match transport.authority().waits() {
        true => tokio::task::spawn_blocking(work).await.unwrap_or(Err(AuthorityError::Key)),
        false => work(),
    };
    issued.map_err(|error| match error {
        AuthorityError::Request => LinkProblem::Key,
        AuthorityError::Key | AuthorityError::Time => LinkProblem::Unready(error.to_string()),
    })
}
