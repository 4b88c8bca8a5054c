"""Pictures and questions to samples, chains, a base model, a degradation-aware adapter, and figures."""
