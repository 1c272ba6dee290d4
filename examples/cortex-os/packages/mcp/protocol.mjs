// The version of the protocol that both sides speak.
export const PROTOCOL = '2025-06-18';
