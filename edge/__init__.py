"""The gateway: studios push streams with WHIP, players watch them with WHEP or LL-HLS."""
