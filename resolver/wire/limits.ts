/** Records and questions in one message. No honest answer comes near; hostile ones would cost time. */
export const recordsMax = 512

/** Bytes that all names of one message may expand to. Bounds what compression pointers can blow up (naming reference 6.1). */
export const decodedNameBytesMax = 32_768

/** The largest message that fits TCP's two length bytes. */
export const messageBytesMax = 65_535

/** What we send and accept over UDP: fits every path without fragments (DNS flag day 2020). */
export const udpPayloadBytesMax = 1_232

/** UDP without EDNS (RFC 1035 §4.2.1). */
export const udpPlainBytesMax = 512

/** Character strings, service parameters and EDNS options in one message together. 64 KiB of empty ones would take 20 ms. */
export const partsMax = 1_024
