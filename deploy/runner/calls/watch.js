// Put before a page's own scripts: notes every RTCPeerConnection, whoever makes it, and tells what its media did so far.
"use strict";
(() => {
  let book;
  // Pages within the page write into the same book where they may.
  try { book = top.lienxaCall; } catch { book = undefined; }
  if (!book) book = window.lienxaCall = {connections: [], joining: null, flowing: null, read};
  const Own = window.RTCPeerConnection;
  if (!Own || Own.noted) return;
  window.RTCPeerConnection = class extends Own {
    constructor(...how) {
      super(...how);
      book.joining ??= performance.now() / 1000;
      book.connections.push(this);
    }
  };
  window.RTCPeerConnection.noted = true;
  window.webkitRTCPeerConnection = window.RTCPeerConnection;
  if (window === top) begin();

  // Totals of all connections until now: bytes, packets and frames each way, round trips in s, and the way it goes.
  async function read() {
    const up = {bytes: 0, packets: 0, lost: 0, jitter: [], frames: 0};
    const down = {bytes: 0, packets: 0, lost: 0, jitter: [], frames: 0, freezes: 0, frozen: 0};
    const {joining, flowing} = book;
    const told = {at: performance.now() / 1000, joining, flowing, up, down, trips: [], path: null};
    for (const connection of book.connections) {
      if (connection.connectionState === "closed") continue;
      const report = await connection.getStats();
      for (const one of report.values()) note(one, report, told);
    }
    return told;
  }
  function note(one, report, told) {
    const {up, down, trips} = told;
    if (one.type === "outbound-rtp") {
      up.bytes += one.bytesSent;
      up.packets += one.packetsSent;
      up.frames += one.framesSent || 0;
    } else if (one.type === "remote-inbound-rtp") {
      up.lost += one.packetsLost || 0;
      up.jitter.push([one.kind, one.jitter]);
    } else if (one.type === "inbound-rtp") {
      down.bytes += one.bytesReceived;
      down.packets += one.packetsReceived;
      down.lost += one.packetsLost || 0;
      down.jitter.push([one.kind, one.jitter]);
      down.frames += one.framesDecoded || 0;
      down.freezes += one.freezeCount || 0;
      down.frozen += one.totalFreezesDuration || 0;
    } else if (one.type === "transport" && report.has(one.selectedCandidatePairId)) {
      const pair = report.get(one.selectedCandidatePairId);
      const local = report.get(pair.localCandidateId), remote = report.get(pair.remoteCandidateId);
      if (pair.currentRoundTripTime !== undefined) trips.push([pair.responsesReceived, pair.currentRoundTripTime]);
      told.path = {
        local: local?.candidateType || "", remote: remote?.candidateType || "",
        protocol: local?.relayProtocol || local?.protocol || "",
      };
    }
  }
  // Media flows when packets went and came, and of a picture the first frame was seen.
  async function begin() {
    while (book.flowing === null) {
      const {at, up, down} = await read();
      if (up.packets && down.packets && (down.frames || !up.frames)) book.flowing = at;
      await new Promise((done) => setTimeout(done, 100));
    }
  }
})();
