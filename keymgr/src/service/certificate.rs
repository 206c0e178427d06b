//! Transport certificates of nodes: made at enrolment, and anew for the key that a connection has proved. What was issued
//! is in the log before the node has it.

use super::carrier::{AGAIN, Judgement, TAKEN, refused};
use super::link::{CERTIFICATE_DAYS, Line, LinkProblem};
use super::manager::Manager;
use crate::channel::is_of_node;
use crate::core::Refusal;
use crate::core::input::Input;
use crate::house::{AuthorityError, certificate_end};
use crate::person::spki_digest;
use crate::writer::SubmitError;
use keylink::envelope::Signed;
use keylink::message::{Audience, CERTIFICATE_RENEW_MS, Head, Renew, Renewed};
use keylink::wire::Blob;
use keylink::{Digest, NodeId};

impl Manager {
    /// A node wants its certificate made anew.
    pub async fn renew(&self, line: Line, body: &[u8]) -> Result<Vec<u8>, LinkProblem> {
        let (kmc, now) = (self.kmc()?, self.now().utc_ms);
        let signed = Signed::parse(body)?;
        let claimed: Renew = signed.peek()?;
        line.carries(claimed.node)?;
        self.listen(line, 0)?;
        let found = self.view(|core| Some((core.node(&line.node)?.clone(), core.epoch())));
        let (node, epoch) = found.ok_or(LinkProblem::Unknown)?;
        let asked: Renew = signed.open(&node.link.key)?;
        asked.head.judge(kmc, Audience::Kmc, 1, now)?;
        if !node.is_served() {
            return Err(LinkProblem::Refused(SubmitError::Refused(Refusal::Suspended)));
        }
        // By the one in use: an answer may have been lost.
        if line.until_utc_ms.saturating_sub(now) > CERTIFICATE_RENEW_MS {
            return Err(LinkProblem::Early);
        }
        let certificate =
            self.issue_certificate(&asked.csr.0, line.node, now).map_err(|_| LinkProblem::Key)?;
        if spki_digest(&certificate) != Some(line.channel) {
            return Err(LinkProblem::Key);
        }
        self.certified(line.node, &certificate).await?;
        let head = self.head(kmc, line.node, epoch, 0, now);
        Ok(self.answer_to(&signed, head, certificate).await?.to_bytes())
    }

    async fn answer_to(
        &self,
        request: &Signed,
        head: Head,
        certificate: Vec<u8>,
    ) -> Result<Signed, LinkProblem> {
        let authority = self.0.parts.authority.certificate().to_vec();
        let certificates = vec![Blob(certificate), Blob(authority)];
        let renewed = Renewed { head, request: request.hash(), certificates };
        Ok(self.sign(&renewed).await?)
    }

    /// The same in a parcel: the certificate in use is in it, and its key has signed the request, so that nothing rests
    /// on who brings it. The answer goes along with the next mail. One that is not near its end is only shown.
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
        let authority = self.0.parts.authority.certificate();
        let in_use = asked.certificate.as_ref().map(|der| der.0.as_slice()).unwrap_or_default();
        if !is_of_node(authority, in_use, node, now) {
            return Ok(refused("other_key", "the certificate in use is not this node's, or not valid"));
        }
        let until_ms = certificate_end(in_use).unwrap_or(0);
        if until_ms.saturating_sub(now) > CERTIFICATE_RENEW_MS {
            return self.shown_by_parcel(node, until_ms).await;
        }
        // Brought again.
        if self.0.renewals.answers(node, signed.hash()) {
            return Ok(AGAIN);
        }
        if !record.is_served() {
            return Ok(refused(Refusal::Suspended.code(), Refusal::Suspended));
        }
        let fresh =
            match self.0.parts.authority.certify(&asked.csr.0, &node.to_string(), now, CERTIFICATE_DAYS) {
                Ok(fresh) if spki_digest(&fresh) == spki_digest(in_use) => fresh,
                Ok(_) | Err(AuthorityError::Request) => {
                    return Ok(refused("other_key", "the request is not for the key in use"));
                }
                Err(error) => return Err(LinkProblem::Unready(error.to_string())),
            };
        self.certified(node, &fresh).await?;
        let until_ms = certificate_end(&fresh).unwrap_or(0);
        let answer = self.answer_to(signed, self.head(kmc, node, epoch, 0, now), fresh).await?;
        self.0.renewals.keep(node, signed.hash(), until_ms, answer);
        self.0.mail.ring(node);
        Ok(TAKEN)
    }

    async fn shown_by_parcel(&self, node: NodeId, until_utc_ms: u64) -> Result<Judgement, LinkProblem> {
        self.0.renewals.shown(node, until_utc_ms);
        match self.submit(None, Input::CertificateShown { node, until_utc_ms }).await {
            Ok(_) => Ok(TAKEN),
            Err(SubmitError::Refused(Refusal::NotDue)) => Ok(AGAIN),
            Err(problem) => Err(problem.into()),
        }
    }

    pub(super) fn issue_certificate(
        &self,
        csr: &[u8],
        node: NodeId,
        now: u64,
    ) -> Result<Vec<u8>, LinkProblem> {
        let issued = self.0.parts.authority.certify(csr, &node.to_string(), now, CERTIFICATE_DAYS);
        issued.map_err(|error| LinkProblem::Unready(error.to_string()))
    }

    // Written before the node has it.
    pub(super) async fn certified(&self, node: NodeId, certificate: &[u8]) -> Result<(), LinkProblem> {
        let until_utc_ms = certificate_end(certificate).unwrap_or(0);
        let certificate = Digest::of(certificate);
        self.submit(None, Input::Certified { node, certificate, until_utc_ms }).await?;
        Ok(())
    }

    // What a node has is what it shows. A request of another connection may have said the same.
    pub(super) async fn note_certificate(&self, line: Line) {
        let known = self.view(|core| core.node(&line.node).map(|node| node.certificate_until_utc_ms));
        if known.is_some_and(|known| known < line.until_utc_ms) {
            let (node, until_utc_ms) = (line.node, line.until_utc_ms);
            let _ = self.submit(None, Input::CertificateShown { node, until_utc_ms }).await;
        }
    }
}
